"""sealgate.yaml as a frozen value. Each setting has its unit in its name, its default and its purpose."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Section
from gateway.settings.sections.api import Api
from gateway.settings.sections.bank import Bank
from gateway.settings.sections.clients import Client
from gateway.settings.sections.codes import Codes
from gateway.settings.sections.database import Audit, Backup, Person, Postgresql, Retention
from gateway.settings.sections.fallbacks import Fallbacks
from gateway.settings.sections.hold import HoldSettings
from gateway.settings.sections.http import Http
from gateway.settings.sections.keys import Escrow, KeySet, Token
from gateway.settings.sections.limits import Limits
from gateway.settings.sections.listeners import Listener
from gateway.settings.sections.milter import Milter
from gateway.settings.sections.next_hops import NextHops
from gateway.settings.sections.opening import Opening, TrustCard
from gateway.settings.sections.processes import Metrics, Processes
from gateway.settings.sections.sources import Lookups, Source
from gateway.settings.sections.stampers import Stamper
from gateway.settings.sections.statements import Statements
from gateway.settings.sections.trust import Fetch, Reports, Trust


class Settings(Section):
    """The whole file."""

    version: Literal[1]
    mode: Literal["live", "observe"] = Field(
        "live", description="observe: the rules are evaluated and recorded, mail passes unchanged")
    bank: Bank
    listeners: tuple[Listener, ...] = Field(min_length=1)
    clients: tuple[Client, ...] = ()
    passwords: Path | None = Field(None, description="argon2 file: NAME:HASH lines, `sealgate client add`")
    next_hops: NextHops
    tokens: tuple[Token, ...] = ()
    keys: tuple[KeySet, ...] = ()
    stampers: tuple[Stamper, ...] = ()
    escrow: tuple[Escrow, ...] = ()
    trust: Trust = Trust()
    fetch: Fetch = Fetch()
    sources: tuple[Source, ...] = ()
    lookups: Lookups = Lookups()
    http: Http | None = None
    api: Api | None = None
    codes: Codes | None = None
    statements: Statements | None = None
    fallbacks: Fallbacks = Fallbacks()
    reports: Reports = Reports()
    policies: tuple[Path, ...] = Field(min_length=1, description="in this order")
    database: Path = Path("sealgate.db")
    database_id: Path = Field(
        Path("database.id"), description="id of the expected database; written by `sealgate init`")
    postgresql: Postgresql | None = Field(None, description="instead of `database`, for several nodes")
    milter: Milter | None = None
    postfix_examined: tuple[str, ...] = Field(
        (), description="programs, servers, tables, milters, policy services that `check --postfix` accepts")
    processes: Processes = Processes()
    metrics: Metrics | None = None
    hold: HoldSettings = HoldSettings()
    opening: Opening = Opening()
    backup: Backup = Backup()
    retention: Retention = Retention()
    audit: Audit = Audit()
    four_eyes: tuple[Literal["release", "trust", "key", "policy", "legal_hold"], ...] = Field(
        (), description="acts that a second person must approve: docs/four-eyes.md")
    persons: tuple[Person, ...] = ()
    trust_card: TrustCard | None = None
    partial: Literal["refuse_all", "deliver_rest"] = "refuse_all"
    limits: Limits = Limits()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def language_of(self, section: Codes | Statements | Fallbacks) -> str:
        """The language of a service's mails where nothing else names one."""
        return section.language or self.bank.language

    @property
    def mailboxes(self) -> Mapping[str, str]:
        """Service to the address of its mailbox. A service without one receives no mail, and no rule may name it."""
        named = {"codes": self.codes.bounces if self.codes else "",
                 "statements": self.statements.bounces if self.statements else ""}
        return {name: mailbox for name, mailbox in named.items() if mailbox}
