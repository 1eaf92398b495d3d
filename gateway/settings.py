"""conf/sealgate.yaml as frozen values: every setting, its unit in its name, its default, its reason.

`load` reads the file; what is wrong is told all at once, each with file:line:column and the nearest name.
Paths in the file are relative to the file's own directory; a credential of systemd goes before the file it is made of.
"""

import ipaddress
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from gateway import strictyaml
from gateway.errors import GatewayError, Reason
from gateway.model.address import domain_of, fold
from gateway.model.scheme import SignScheme

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
    trust_card: TrustCard | None = None
    partial: Literal["refuse_all", "deliver_rest"] = "refuse_all"
    limits: Limits = Limits()
    log_level: Literal["debug", "info", "warning", "error"] = "info"


# --- reading the file -----------------------------------------------------------------------------------------------

Finding = tuple[strictyaml.Path, str, str]  # where, what, remedy
AnySection = TypeVar("AnySection", bound=Section)

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def load(path: Path) -> Settings:
    """The settings of a file, with all paths absolute.

    CONFIG_UNREADABLE if the file cannot be read; strictyaml.YamlProblems (CONFIG_INVALID) with all that is wrong in it.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: not UTF-8 at octet {error.start}") from None
    return read(text, path)


def read(text: str, path: Path) -> Settings:
    """As `load`, of a text that stands in for the file at `path`."""
    document = strictyaml.load(text, str(path))
    settings = strictyaml.validate(Settings, document)
    problems = [document.problem(at, what, remedy) for at, what, remedy in findings(settings)]
    if problems:
        raise strictyaml.YamlProblems(problems)
    return _absolute(settings, path.absolute().parent)


def _absolute(section: AnySection, base: Path) -> AnySection:
    """The same values with every relative path resolved against `base`."""
    changed = {name: _resolved(getattr(section, name), base) for name in type(section).model_fields}
    return section.model_copy(update=changed)


def _resolved(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return _credential(base / value, base) or base / value
    if isinstance(value, Section):
        return _absolute(value, base)
    if isinstance(value, tuple):
        return tuple(_resolved(item, base) for item in value)
    return value


def _credential(path: Path, base: Path) -> Path | None:
    """What systemd hands over in place of a file beside the settings (systemd.exec, LoadCredential= of a directory).

    keys/otp.key.pem is there as keys_otp.key.pem: the service and root's commands read the same settings.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None or not path.is_relative_to(base):
        return None
    handed = Path(directory, "_".join(path.relative_to(base).parts))
    return handed if handed.is_file() else None


# --- what the types cannot say --------------------------------------------------------------------------------------


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything in which the settings contradict themselves. Opens no file: that is for `sealgate check`."""
    for kind, named in (("listeners", settings.listeners), ("clients", settings.clients), ("keys", settings.keys),
                        ("stampers", settings.stampers), ("escrow", settings.escrow)):
        yield from _names(kind, [section.name for section in named])
    yield from _bank(settings.bank)
    for number, listener in enumerate(settings.listeners):
        yield from _listener(("listeners", number), listener)
    yield from _ports(settings.listeners)
    yield from _clients(settings)
    clients = [client.name for client in settings.clients]
    for number, key in enumerate(settings.keys):
        yield from _key(("keys", number), key, clients)
    for number, stamper in enumerate(settings.stampers):
        if not _is_oid(stamper.policy_oid):
            yield ("stampers", number, "policy_oid"), f"`{stamper.policy_oid}` is no object identifier", (
                "digits and dots, such as 1.3.6.1.4.1.99999.1.1 under your own number")
    yield from _repeated("policies", list(map(str, settings.policies)))
    yield from _hold(settings.hold)
    yield from _limits(settings.limits)


def _names(kind: str, names: Sequence[str]) -> Iterator[Finding]:
    for number, name in enumerate(names):
        if not name or not NAME_CHARACTERS.issuperset(name):
            yield (kind, number, "name"), f"`{name}` is no name", "letters, digits, `.`, `-` and `_`"
        elif name in names[:number]:
            yield (kind, number, "name"), f"`{name}` is used a second time", "names are unique"


def _repeated(kind: str, texts: Sequence[str], *more: str | int) -> Iterator[Finding]:
    for number, text in enumerate(texts):
        if text in texts[:number]:
            yield (kind, *more, number), f"`{text}` stands here a second time", "once is enough"


def _bank(bank: Bank) -> Iterator[Finding]:
    for number, domain in enumerate(bank.domains):
        if not domain or "@" in domain or domain.startswith(".") or "." not in domain.strip("."):
            yield ("bank", "domains", number), f"`{domain}` is no domain", "such as bank.example"
    yield from _repeated("bank", [fold(domain) for domain in bank.domains], "domains")
    if not bank.hostname or "@" in bank.hostname or " " in bank.hostname:
        yield ("bank", "hostname"), f"`{bank.hostname}` is no host name", "such as mail.bank.example"
    if bank.postmaster and "@" not in bank.postmaster:
        yield ("bank", "postmaster"), f"`{bank.postmaster}` is no mail address", "such as postmaster@bank.example"
    own = fold(bank.authserv_id or bank.hostname)
    for number, identity in enumerate(bank.trusted_authserv_ids):
        if fold(identity) == own:
            yield ("bank", "trusted_authserv_ids", number), f"`{identity}` is our own id", (
                "ours is stripped from outside: give the filter another one")


def _listener(at: strictyaml.Path, listener: Listener) -> Iterator[Finding]:
    if listener.tls == "none":
        for name in ("certificate", "key", "client_ca"):
            if getattr(listener, name) is not None:
                yield (*at, name), f"`{name}` without TLS", "write tls: starttls or implicit, or take it out"
        if listener.tls_required:
            yield (*at, "tls_required"), "`tls_required` without TLS", "write tls: starttls"
    else:
        for name in ("certificate", "key"):
            if getattr(listener, name) is None:
                yield (*at, "tls"), f"`tls: {listener.tls}` without `{name}`", f"name a PEM file in {name}"
    yield from _networks((*at, "trusted_peers"), listener.trusted_peers)


def _ports(listeners: Sequence[Listener]) -> Iterator[Finding]:
    taken = [(fold(listener.host), listener.port) for listener in listeners]
    for number, (host, port) in enumerate(taken):
        if port and (host, port) in taken[:number]:
            yield ("listeners", number, "port"), f"{host} port {port} is another listener's", "choose another port"


def _networks(at: strictyaml.Path, networks: Iterable[str]) -> Iterator[Finding]:
    for number, network in enumerate(networks):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            try:
                remedy = f"did you mean `{ipaddress.ip_network(network, strict=False)}`?"
            except ValueError:
                remedy = "such as 192.0.2.0/24 or 2001:db8::/32"
            yield (*at, number), f"`{network}` is no network: {error}", remedy


def _clients(settings: Settings) -> Iterator[Finding]:
    """Each client can be told from every other, by something that only it has."""
    seen: dict[tuple[str, str], str] = {}
    for number, client in enumerate(settings.clients):
        at: strictyaml.Path = ("clients", number)
        yield from _networks((*at, "networks"), client.networks)
        if not (client.networks or client.tls_certificates or client.logins):
            yield at, f"nothing tells client `{client.name}` from a stranger", (
                "give it networks, tls_certificates or logins")
        for place, text in enumerate(client.tls_certificates):
            if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
                yield (*at, "tls_certificates", place), f"`{text}` is no SHA-256 fingerprint", (
                    "64 hexadecimal digits in lower case, without colons")
        if client.logins and settings.passwords is None:
            yield (*at, "logins"), "logins without `passwords`", "name the password file of `sealgate client add`"
        for kind in ("networks", "tls_certificates", "logins"):
            for place, text in enumerate(getattr(client, kind)):
                other = seen.setdefault((kind, text), client.name)
                if other != client.name:
                    yield (*at, kind, place), f"`{text}` is already client `{other}`", "one client each"
        yield from _patterns((*at, "from"), client.from_addresses)


def _patterns(at: strictyaml.Path, patterns: Sequence[str]) -> Iterator[Finding]:
    for number, pattern in enumerate(patterns):
        local = pattern.rpartition("@")[0]
        if pattern != "*" and (not domain_of(pattern) or ("*" in local and local != "*") or "*" in domain_of(pattern)):
            yield (*at, number), f"`{pattern}` is no address pattern", 'an address, "*@bank.example" or "*"'


def _key(at: strictyaml.Path, key: KeySet, clients: Sequence[str]) -> Iterator[Finding]:
    only_sign = {"from": key.from_addresses, "clients": key.clients, "scheme": key.scheme, "chain": key.chain,
                 "encryption_certificate": key.encryption_certificate}
    if key.purpose == "sign":
        if key.recipients:
            yield (*at, "recipients"), "a signing key opens no mail", "take `recipients` out, or purpose: decrypt"
        if not key.from_addresses:
            yield at, f"nobody may use key `{key.name}`: it lists no `from`", 'such as from: ["otp@bank.example"]'
    else:
        for name, value in only_sign.items():
            if value:
                yield (*at, name), f"`{name}` at a key that decrypts", "it belongs to signing keys"
        if not key.recipients:
            yield at, f"key `{key.name}` opens nobody's mail: it lists no `recipients`", (
                'such as recipients: ["*@bank.example"]')
    yield from _patterns((*at, "from"), key.from_addresses)
    yield from _patterns((*at, "recipients"), key.recipients)
    for number, client in enumerate(key.clients):
        if client not in clients:
            yield (*at, "clients", number), f"there is no client `{client}`", strictyaml.nearest(client, clients)
    if key.scheme and key.scheme not in list(SignScheme):
        yield (*at, "scheme"), f"`{key.scheme}` is no signature scheme", (
            strictyaml.nearest(key.scheme, list(SignScheme)) or "one of: " + ", ".join(SignScheme))


def _hold(hold: HoldSettings) -> Iterator[Finding]:
    if hold.archive_key is not None and hold.archive_certificate is None:
        yield ("hold", "archive_key"), "an archive key without `archive_certificate`", "name its certificate"
    if hold.archive_passphrase_file is not None and hold.archive_key is None:
        yield ("hold", "archive_passphrase_file"), "a passphrase without `archive_key`", "name the key, or take it out"


def _limits(limits: Limits) -> Iterator[Finding]:
    if limits.octets_in_flight_max < limits.message_octets_max:
        yield ("limits", "octets_in_flight_max"), "less than message_octets_max: such a mail could never come in", (
            f"at least {limits.message_octets_max}")
    told = "connections_per_peer_max" in limits.model_fields_set
    if told and limits.connections_per_peer_max > limits.connections_max:
        yield ("limits", "connections_per_peer_max"), "more than connections_max", f"at most {limits.connections_max}"


def _is_oid(text: str) -> bool:
    """Dotted decimals without leading zeros; first arc 0 to 2, below 40 under 0 and 1 (X.660); not endlessly long."""
    parts = text.split(".")
    plain = all(p.isascii() and p.isdigit() and (p == "0" or p[0] != "0") and len(p) <= 18 for p in parts)
    if not plain or not 3 <= len(parts) <= 32:
        return False
    return (int(parts[0]) < 2 and int(parts[1]) < 40) or parts[0] == "2"
