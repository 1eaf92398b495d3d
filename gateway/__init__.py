"""Sealgate: a mail encryption gateway for banks. The map of the house comes with its rooms."""

__version__ = "0.1.0"
