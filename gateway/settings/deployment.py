"""The name of the milter, for gateway.frontends.milter."""

from gateway.settings.sections.milter import MILTER

__all__ = ["MILTER"]
