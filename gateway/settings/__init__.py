"""conf/sealgate.yaml as frozen values. `load` reads the file and reports everything that is wrong in it at once."""

from gateway.settings.base import NAME_CHARACTERS, Section
from gateway.settings.findings import findings
from gateway.settings.in_force import InForce, Texts, policy_texts
from gateway.settings.read import load, read
from gateway.settings.sections.api import Api
from gateway.settings.sections.bank import Bank
from gateway.settings.sections.clients import Client
from gateway.settings.sections.codes import Codes
from gateway.settings.sections.database import Backup, Postgresql
from gateway.settings.sections.fallbacks import EncryptedPdf, Fallbacks, Invite
from gateway.settings.sections.hold import HoldSettings
from gateway.settings.sections.http import Http, Partner
from gateway.settings.sections.keys import Escrow, Generation, KeyPlace, KeySet, Token
from gateway.settings.sections.limits import Limits
from gateway.settings.sections.listeners import Listener
from gateway.settings.sections.milter import MILTER, Milter
from gateway.settings.sections.next_hops import NextHops, NextHopSettings
from gateway.settings.sections.opening import TrustCard
from gateway.settings.sections.processes import Metrics, Processes
from gateway.settings.sections.sources import (
    STORE,
    HttpSourceSettings,
    LdapSourceSettings,
    Lookups,
    SmimeaSourceSettings,
    Source,
    SourceSettings,
)
from gateway.settings.sections.stampers import HttpStamperSettings, InternalStamperSettings, Stamper
from gateway.settings.sections.statements import Statements
from gateway.settings.sections.trust import Fetch, Mark, Reports, RevocationModes, Trust
from gateway.settings.settings import Settings

__all__ = [
    "MILTER", "NAME_CHARACTERS", "STORE", "Api", "Backup", "Bank", "Client", "Codes", "EncryptedPdf", "Escrow",
    "Fallbacks", "Fetch", "Generation", "HoldSettings", "Http", "HttpSourceSettings", "HttpStamperSettings",
    "InForce", "InternalStamperSettings", "Invite", "KeyPlace", "KeySet", "LdapSourceSettings", "Limits",
    "Listener", "Lookups", "Mark", "Metrics", "Milter", "NextHopSettings", "NextHops", "Partner", "Postgresql",
    "Processes", "Reports", "RevocationModes", "Section", "Settings", "SmimeaSourceSettings", "Source",
    "SourceSettings", "Stamper", "Statements", "Texts", "Token", "Trust", "TrustCard", "findings", "load",
    "policy_texts", "read",
]
