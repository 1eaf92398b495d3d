"""The sections of sealgate.yaml as frozen values: every setting, its unit in its name, its default, its reason.

What belongs to certificates and trust has a file of its own beside this one, with what the types cannot say of it:
`keys`, `sources`, `trust`, `http`; so does what belongs to a place among others, `deployment`, and to each service:
`codes`, `statements`, `fallbacks`, `api`.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.api import Api
from gateway.settings.base import Section
from gateway.settings.codes import Codes
from gateway.settings.deployment import Backup, Metrics, Milter, Postgresql, Processes
from gateway.settings.fallbacks import Fallbacks
from gateway.settings.http import Http
from gateway.settings.keys import KeySet, Stamper, Token
from gateway.settings.sources import Lookups, Source
from gateway.settings.statements import Statements
from gateway.settings.trust import Fetch, Reports, Trust

Tls = Literal["none", "starttls", "implicit"]
HopTls = Literal["none", "may", "require"]


class Bank(Section):
    """Who we are."""

    domains: tuple[str, ...] = Field(min_length=1, description="mail domains of the bank; recipients there are ours")
    hostname: str = Field(description="name in greetings, Received and Message-IDs")
    authserv_id: str = Field("", description="our id in Authentication-Results (RFC 8601); '' = hostname")
    trusted_authserv_ids: tuple[str, ...] = Field(
        (), description="ids of filters in front of us whose Authentication-Results are read")
    postmaster: str = Field("", description="From address of reports; '' = postmaster@ the first domain")
    name: str = Field("", description="the bank's name as customers read it in mails; '' = the first domain")
    contact: str = Field("", description="telephone number or address that mails give for questions; '' = none")
    time_zone: str = Field("UTC", description="of the times in mails to people, such as Europe/Berlin")


class Listener(Section):
    """One port that we listen on."""

    name: str
    role: Literal["outbound", "inbound"]
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="lmtp (RFC 2033): an answer for each recipient")
    tls: Tls = "none"
    tls_required: bool = Field(False, description="with starttls: refuse MAIL before STARTTLS")
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = Field(None, description="PEM: TLS client certificates from here identify clients")
    trusted_peers: tuple[str, ...] = Field((), description="networks of front ends whose Authentication-Results count")
    xforward_peers: tuple[str, ...] = Field((), description="networks whose XFORWARD is believed: client, IDENT")
    xclient_peers: tuple[str, ...] = Field((), description="networks whose XCLIENT is believed: they become the client")
    recipient_check: Literal["none", "next_hop"] = "none"


class Client(Section):
    """A system or person of the bank that may send through us."""

    name: str
    networks: tuple[str, ...] = ()
    tls_certificates: tuple[str, ...] = Field((), description="SHA-256 fingerprints, hex")
    logins: tuple[str, ...] = Field((), description="user names of the password file")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="address, '*@domain' or '*'")
    header: str = Field("", description="a field that its mail must bear besides, such as X-Bank-Route; it is removed")
    header_file: Path | None = Field(None, description="its value, a secret; one a line, each counts; mode 0600")
    token_file: Path | None = Field(None, description="SHA-256 of its token for `api`: `sealgate client token`")
    scopes: tuple[Literal["codes", "statements"], ...] = Field((), description="what it may do over HTTP")
    callback_url: str = Field("", description="hears what became of its codes; https, or http on loopback")
    callback_secret_file: Path | None = Field(None, description="calls are signed with it (HMAC-SHA-256); mode 0600")
    normalise_newlines: bool = Field(False, description="make bare CR and LF into CRLF instead of refusing")


class NextHopSettings(Section):
    """The mail server behind us, one for each direction."""

    host: str
    port: int = Field(25, ge=1, le=65535)
    tls: HopTls = "may"
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    tls_name: str = Field("", description="name in its certificate; '' = host")
    connections_max: int = Field(10, ge=1)
    idle_s: float = Field(60.0, gt=0, description="a kept connection is closed after this")
    connect_timeout_s: float = Field(10.0, gt=0)
    reply_timeout_s: float = Field(120.0, gt=0)


class NextHops(Section):
    """Where mail goes on."""

    outbound: NextHopSettings
    inbound: NextHopSettings


class Escrow(Section):
    """A certificate that the verb `escrow` adds to the recipients; its holder can read those mails."""

    name: str
    certificate: Path


class TrustCard(Section):
    """Signed verdicts on opened mail, for back offices that need not believe a header (docs/trust-card.md)."""

    key: Path = Field(description="P-256, of its own, mode 0600")
    passphrase_file: Path | None = None
    lifetime_s: int = Field(604_800, ge=60, description="7 days")


class HoldSettings(Section):
    """The hold store."""

    archive_certificate: Path | None = Field(None, description="held bodies are encrypted to it")
    archive_key: Path | None = Field(None, description="needed to release; may be kept off line until then")
    archive_passphrase_file: Path | None = None
    octets_max: int = Field(1_073_741_824, ge=0, description="quarantined mail takes at most half of it")


class Limits(Section):
    """A limit on everything."""

    message_octets_max: int = Field(52_428_800, ge=1024, description="50 MiB, told as SIZE")
    recipients_max: int = Field(100, ge=1, description="per transaction; further ones 452 (RFC 5321 4.5.3.1.8)")
    connections_max: int = Field(500, ge=1, description="for each role of listener, as all that strangers use up")
    connections_per_peer_max: int = Field(50, ge=1)
    messages_per_minute_per_client_max: int = Field(0, ge=0, description="0 = no limit")
    workers_max: int = Field(16, ge=1, description="mails in work at once, for each role of listener")
    octets_in_flight_max: int = Field(268_435_456, ge=1024, description="of mails in work, for each role of listener")
    command_timeout_s: float = Field(300.0, gt=0, description="RFC 5321 4.5.3.2.7")
    data_timeout_s: float = Field(600.0, gt=0, description="for the whole DATA")
    message_deadline_s: float = Field(240.0, gt=0, description="below the front's own time-out (RFC 5321: 600 s)")
    hops_max: int = Field(50, ge=1, description="Received fields; more is a loop")
    errors_per_session_max: int = Field(20, ge=1)


class Opening(Section):
    """How inbound mail is opened."""

    weak: tuple[Literal["3des"], ...] = Field(
        (), description="weak ciphers whose mail is opened, never trusted and never acted upon")


class Settings(Section):
    """The whole file."""

    version: Literal[1]
    mode: Literal["live", "observe"] = Field("live", description="observe: decides and records, changes nothing")
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
    database_id: Path = Field(Path("database.id"), description="which database is meant; written by `sealgate init`")
    postgresql: Postgresql | None = Field(None, description="in place of `database`, for several nodes")
    milter: Milter | None = None
    postfix_examined: tuple[str, ...] = Field(
        (), description="paths of programs, names of servers, sockets of milters: no errors of `check --postfix`")
    processes: Processes = Processes()
    metrics: Metrics | None = None
    hold: HoldSettings = HoldSettings()
    opening: Opening = Opening()
    backup: Backup = Backup()
    trust_card: TrustCard | None = None
    partial: Literal["refuse_all", "deliver_rest"] = "refuse_all"
    limits: Limits = Limits()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
