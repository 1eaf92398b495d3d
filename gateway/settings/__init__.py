"""conf/sealgate.yaml as frozen values. `load` reads the file and tells everything that is wrong with it at once."""

from gateway.settings.api import Api
from gateway.settings.base import NAME_CHARACTERS, Section
from gateway.settings.codes import Codes
from gateway.settings.deployment import Metrics, Milter, Postgresql, Processes
from gateway.settings.fallbacks import EncryptedPdf, Fallbacks, Invite
from gateway.settings.findings import findings
from gateway.settings.http import Http, Partner
from gateway.settings.in_force import InForce, Texts, policy_texts
from gateway.settings.keys import Generation, KeySet, Stamper, Token
from gateway.settings.read import load, read
from gateway.settings.sections import (
    Bank,
    Client,
    Escrow,
    HoldSettings,
    Limits,
    Listener,
    NextHops,
    NextHopSettings,
    Settings,
    TrustCard,
)
from gateway.settings.sources import Lookups, Source
from gateway.settings.statements import Statements
from gateway.settings.trust import Fetch, Mark, Reports, RevocationModes, Trust

__all__ = [
    "NAME_CHARACTERS", "Api", "Bank", "Client", "Codes", "EncryptedPdf", "Escrow", "Fallbacks", "Fetch", "Generation",
    "HoldSettings", "Http", "InForce", "Invite", "KeySet", "Limits", "Listener", "Lookups", "Mark", "Metrics",
    "Milter", "NextHopSettings", "NextHops", "Partner", "Postgresql", "Processes", "Reports", "RevocationModes",
    "Section", "Settings", "Source", "Stamper", "Statements", "Texts", "Token", "Trust", "TrustCard", "findings",
    "load", "policy_texts", "read",
]
