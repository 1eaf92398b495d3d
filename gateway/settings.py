"""conf/sealgate.yaml as frozen values: every setting, its unit in its name, its default, its reason.

`load` reads the file; what is wrong is told all at once, each with file:line:column and the nearest name.
Paths in the file are relative to the file's own directory.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Tls = Literal["none", "starttls", "implicit"]
HopTls = Literal["none", "may", "require"]


class Section(BaseModel):
    """Unknown keys are errors; values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bank(Section):
    """Who we are."""

    domains: tuple[str, ...] = Field(min_length=1, description="mail domains of the bank; recipients there are ours")
    hostname: str = Field(description="name in greetings, Received and Message-IDs")
    authserv_id: str = Field("", description="our id in Authentication-Results (RFC 8601); '' = hostname")
    trusted_authserv_ids: tuple[str, ...] = Field(
        (), description="ids of filters in front of us whose Authentication-Results are read")
    postmaster: str = Field("", description="From address of reports; '' = postmaster@ the first domain")


class Listener(Section):
    """One port that we listen on."""

    name: str
    role: Literal["outbound", "inbound"]
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    tls: Tls = "none"
    tls_required: bool = Field(False, description="with starttls: refuse MAIL before STARTTLS")
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = Field(None, description="PEM: TLS client certificates from here identify clients")
    trusted_peers: tuple[str, ...] = Field((), description="networks of front ends whose Authentication-Results count")
    recipient_check: Literal["none", "next_hop"] = "none"


class Client(Section):
    """A system or person of the bank that may send through us."""

    name: str
    networks: tuple[str, ...] = ()
    tls_certificates: tuple[str, ...] = Field((), description="SHA-256 fingerprints, hex")
    logins: tuple[str, ...] = Field((), description="user names of the password file")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="address, '*@domain' or '*'")
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


class KeySet(Section):
    """A key with its certificate, and who may use it. One purpose each."""

    name: str
    purpose: Literal["sign", "decrypt"]
    key: Path = Field(description="PEM or DER PKCS#8 (may be encrypted) or PKCS#12, mode 0600")
    passphrase_file: Path | None = None
    certificate: Path
    chain: Path | None = Field(None, description="PEM: intermediates that are enclosed in signatures")
    encryption_certificate: Path | None = Field(None, description="sign: told to recipients as our encryption key")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="sign: From addresses that may use it")
    clients: tuple[str, ...] = Field((), description="sign: clients that may use it")
    recipients: tuple[str, ...] = Field((), description="decrypt: envelope recipients whose mail it opens")
    scheme: str = Field("", description="sign: '' = rsa-pkcs1-sha256, ecdsa-sha256/384 or ed25519, by key")


class Stamper(Section):
    """A time-stamping service. `internal` is our own embedded TSA."""

    name: str
    kind: Literal["internal"] = "internal"
    key: Path
    passphrase_file: Path | None = None
    certificate: Path
    chain: Path | None = None
    policy_oid: str = Field(description="our own arc, not one of somebody else")
    accuracy_ms: int = Field(1000, ge=1)
    clock_check: Literal["kernel", "none"] = "kernel"


class Escrow(Section):
    """A certificate that the verb `escrow` adds to the recipients; its holder can read those mails."""

    name: str
    certificate: Path


class Trust(Section):
    """Whom we believe, for each purpose. PEM files or directories of them."""

    signers: tuple[Path, ...] = Field((), description="roots for signers of inbound mail")
    recipients: tuple[Path, ...] = Field((), description="roots for certificates that we encrypt to")
    stampers: tuple[Path, ...] = Field((), description="roots of internal time-stamping services")
    stampers_external: tuple[Path, ...] = ()
    stampers_qualified: tuple[Path, ...] = ()
    intermediates: tuple[Path, ...] = Field((), description="complete paths, not trusted by themselves")
    revocation: Literal["none", "soft", "require"] = "soft"


class HoldSettings(Section):
    """The hold store."""

    archive_certificate: Path | None = Field(None, description="held bodies are encrypted to it")
    archive_key: Path | None = Field(None, description="needed to release; may be kept off line until then")
    archive_passphrase_file: Path | None = None
    octets_max: int = Field(1_073_741_824, ge=0)


class Limits(Section):
    """A limit on everything."""

    message_octets_max: int = Field(52_428_800, ge=1024, description="50 MiB, told as SIZE")
    recipients_max: int = Field(100, ge=1, description="per transaction; further ones 452 (RFC 5321 4.5.3.1.8)")
    connections_max: int = Field(500, ge=1)
    connections_per_peer_max: int = Field(50, ge=1)
    messages_per_minute_per_client_max: int = Field(0, ge=0, description="0 = no limit")
    workers_max: int = Field(16, ge=1, description="mails in work at once, for each role of listener")
    octets_in_flight_max: int = Field(536_870_912, ge=1024, description="of mails in work in this process")
    command_timeout_s: float = Field(300.0, gt=0, description="RFC 5321 4.5.3.2.7")
    data_timeout_s: float = Field(600.0, gt=0, description="for the whole DATA")
    message_deadline_s: float = Field(240.0, gt=0, description="below the front's own time-out (RFC 5321: 600 s)")
    hops_max: int = Field(50, ge=1, description="Received fields; more is a loop")
    errors_per_session_max: int = Field(20, ge=1)


class Settings(Section):
    """The whole file."""

    version: Literal[1]
    bank: Bank
    listeners: tuple[Listener, ...] = Field(min_length=1)
    clients: tuple[Client, ...] = ()
    passwords: Path | None = Field(None, description="argon2 file: NAME:HASH lines, `sealgate client add`")
    next_hops: NextHops
    keys: tuple[KeySet, ...] = ()
    stampers: tuple[Stamper, ...] = ()
    escrow: tuple[Escrow, ...] = ()
    trust: Trust = Trust()
    policies: tuple[Path, ...] = Field(min_length=1, description="in this order")
    database: Path = Path("sealgate.db")
    hold: HoldSettings = HoldSettings()
    partial: Literal["refuse_all", "deliver_rest"] = "refuse_all"
    limits: Limits = Limits()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
