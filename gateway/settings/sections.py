"""The sections of sealgate.yaml as frozen values: each setting with the unit in its name, its default, its purpose.

Other files define the sections of certificates and trust with their checks (`keys`, `sources`, `trust`, `http`), of
deployment (`deployment`), and of each service (`codes`, `statements`, `fallbacks`, `api`).
"""

from collections.abc import Mapping
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
    """The bank: its mail domains and the names that the gateway uses."""

    domains: tuple[str, ...] = Field(
        min_length=1, description="mail domains of the bank; recipients in them are inbound")
    hostname: str = Field(description="the gateway's name in greetings, Received and Message-IDs")
    authserv_id: str = Field(
        "", description="the gateway's authserv-id in Authentication-Results (RFC 8601); '' = hostname")
    trusted_authserv_ids: tuple[str, ...] = Field(
        (), description="authserv-ids of preceding filters whose Authentication-Results are accepted")
    postmaster: str = Field("", description="From address of reports; '' = postmaster@ the first domain")
    name: str = Field("", description="the bank's name as customers read it in mails; '' = the first domain")
    contact: str = Field("", description="telephone number or address that mails give for questions; '' = none")
    time_zone: str = Field("UTC", description="of the times in mails to people, such as Europe/Berlin")


class Listener(Section):
    """One port that the gateway listens on."""

    name: str
    role: Literal["outbound", "inbound"]
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="lmtp (RFC 2033): one reply per recipient")
    tls: Tls = "none"
    tls_required: bool = Field(False, description="with starttls: reject MAIL before STARTTLS")
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = Field(None, description="PEM: TLS client certificates from here identify clients")
    trusted_peers: tuple[str, ...] = Field(
        (), description="networks of front ends whose Authentication-Results are accepted")
    xforward_peers: tuple[str, ...] = Field((), description="networks whose XFORWARD is accepted: client, IDENT")
    xclient_peers: tuple[str, ...] = Field((), description="networks whose XCLIENT is accepted: it sets the client")
    recipient_check: Literal["none", "next_hop"] = "none"


class Client(Section):
    """A system or person of the bank that may send through the gateway."""

    name: str
    networks: tuple[str, ...] = ()
    tls_certificates: tuple[str, ...] = Field((), description="SHA-256 fingerprints, hex")
    logins: tuple[str, ...] = Field((), description="user names of the password file")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="address, '*@domain' or '*'")
    header: str = Field(
        "", description="a header field that its mail must also have, such as X-Bank-Route; it is removed")
    header_file: Path | None = Field(None, description="its value, a secret; one per line, each is accepted; mode 0600")
    token_file: Path | None = Field(None, description="SHA-256 of its token for `api`: `sealgate client token`")
    scopes: tuple[Literal["codes", "statements"], ...] = Field((), description="permissions over HTTP")
    callback_url: str = Field("", description="receives the delivery status of its codes; https, or http on loopback")
    callback_secret_file: Path | None = Field(None, description="calls are signed with it (HMAC-SHA-256); mode 0600")
    normalise_newlines: bool = Field(False, description="convert bare CR and LF to CRLF instead of rejecting the mail")


class NextHopSettings(Section):
    """The next mail server, one for each direction."""

    host: str
    port: int = Field(25, ge=1, le=65535)
    tls: HopTls = "may"
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    tls_name: str = Field("", description="name in its certificate; '' = host")
    connections_max: int = Field(10, ge=1)
    idle_s: float = Field(60.0, gt=0, description="an idle connection is closed after this time")
    connect_timeout_s: float = Field(10.0, gt=0)
    reply_timeout_s: float = Field(120.0, gt=0)


class NextHops(Section):
    """The next hop of each direction."""

    outbound: NextHopSettings
    inbound: NextHopSettings


class Escrow(Section):
    """A certificate that the verb `escrow` adds to the recipients; its holder can decrypt those mails."""

    name: str
    certificate: Path


class TrustCard(Section):
    """Signed verdicts on opened mail, which back offices can verify (docs/trust-card.md)."""

    key: Path = Field(description="P-256, used for nothing else, mode 0600")
    passphrase_file: Path | None = None
    lifetime_s: int = Field(604_800, ge=60, description="7 days")


class HoldSettings(Section):
    """The hold store."""

    archive_certificate: Path | None = Field(None, description="held bodies are encrypted to this certificate")
    archive_key: Path | None = Field(None, description="needed to release mail; may be kept offline until then")
    archive_passphrase_file: Path | None = None
    octets_max: int = Field(1_073_741_824, ge=0, description="quarantined mail takes at most half of it")


class Limits(Section):
    """Limits on sizes, numbers and times."""

    message_octets_max: int = Field(52_428_800, ge=1024, description="50 MiB, announced as SIZE")
    recipients_max: int = Field(100, ge=1, description="per transaction; further ones 452 (RFC 5321 4.5.3.1.8)")
    connections_max: int = Field(
        500, ge=1, description="per role of listener; unknown peers cannot use the reserved part")
    connections_per_peer_max: int = Field(50, ge=1)
    messages_per_minute_per_client_max: int = Field(0, ge=0, description="0 = no limit")
    workers_max: int = Field(16, ge=1, description="mails processed at once, per role of listener")
    octets_in_flight_max: int = Field(
        268_435_456, ge=1024, description="of mails being processed, per role of listener")
    command_timeout_s: float = Field(300.0, gt=0, description="RFC 5321 4.5.3.2.7")
    data_timeout_s: float = Field(600.0, gt=0, description="for the whole DATA")
    message_deadline_s: float = Field(
        240.0, gt=0, description="less than the preceding server's own time-out (RFC 5321: 600 s)")
    hops_max: int = Field(50, ge=1, description="Received fields; more is a loop")
    errors_per_session_max: int = Field(20, ge=1)


class Opening(Section):
    """How inbound mail is opened."""

    weak: tuple[Literal["3des"], ...] = Field(
        (), description="weak ciphers whose mail is decrypted, but never trusted")


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
        (), description="programs, servers, milters, policy services that `check --postfix` accepts without an error")
    processes: Processes = Processes()
    metrics: Metrics | None = None
    hold: HoldSettings = HoldSettings()
    opening: Opening = Opening()
    backup: Backup = Backup()
    trust_card: TrustCard | None = None
    partial: Literal["refuse_all", "deliver_rest"] = "refuse_all"
    limits: Limits = Limits()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def mailboxes(self) -> Mapping[str, str]:
        """Service to the address of its mailbox. A service without one receives no mail, and no rule may name it."""
        named = {"codes": self.codes.bounces if self.codes else "",
                 "statements": self.statements.bounces if self.statements else ""}
        return {name: mailbox for name, mailbox in named.items() if mailbox}
