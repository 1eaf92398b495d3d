"""What every file of the settings builds on: the section, a finding, and the checks that several of them share."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from gateway import strictyaml
from gateway.model.address import domain_of

Finding = tuple[strictyaml.Path, str, str]  # where, what, remedy

UTC = "UTC"  # known without the system's time zone data
RETURNS_LOCAL_MAX = 14  # RFC 5321 4.5.3.1.1: 64, of which an id takes up to 32, its MAC 16, and what joins them 2
_HTTP = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?(?:[/?#].*)?")  # no user before the host
_URL_LENGTH_MAX = 2048
_NOT_IN_URLS = frozenset(' "<>\\^`{|}')
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Section(BaseModel):
    """Unknown keys are errors; values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def names(kind: str, given: Sequence[str], *, taken: Iterable[str] = ()) -> Iterator[Finding]:
    """Names that are none, or that are used twice. `taken`: words that the house itself uses."""
    for number, name in enumerate(given):
        if not name or not NAME_CHARACTERS.issuperset(name):
            yield (kind, number, "name"), f"`{name}` is no name", "letters, digits, `.`, `-` and `_`"
        elif name in given[:number]:
            yield (kind, number, "name"), f"`{name}` is used a second time", "names are unique"
        elif name in taken:
            yield (kind, number, "name"), f"`{name}` is a name of the house's own", "choose another one"


def is_time_zone(name: str) -> bool:
    """Whether this machine knows a time zone of this name (IANA, RFC 6557)."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return name == UTC
    return True


def on_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine. A name that merely begins so (127.example) is somebody's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def travels_safely(url: str) -> bool:
    """https, or http that stays on this machine."""
    plain = _HTTP.fullmatch(url)
    return url.startswith("https://") or (plain is not None and on_loopback(plain[1].strip("[]")))


def web_url(at: strictyaml.Path, url: str) -> Iterator[Finding]:
    """A URL that no request of the gateway could use: adapters.web_address refuses the same, but only when asked.

    A user name or password in it is not repeated in the finding.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        yield at, f"`{url}` is not a URL", "such as https://host.example/path"
        return
    if "@" in parts.netloc:
        yield at, "the URL contains a user name or password, and the gateway sends neither", (
            "remove everything up to the @; time-stamping services and HTTP sources have `username` and "
            "`password_file`")
    elif not url.isascii() or not url.isprintable() or _NOT_IN_URLS & set(url):
        yield at, f"`{url}` contains characters that a URL cannot contain", "encode them as %XX (RFC 3986 2.1)"
    elif not host or port == 0:
        yield at, f"`{url}` names no host to connect to", "such as https://host.example/path"
    elif len(url) > _URL_LENGTH_MAX:
        yield at, f"the URL is longer than {_URL_LENGTH_MAX} characters", "use a shorter one"


def repeated(kind: str, texts: Sequence[str], *more: str | int) -> Iterator[Finding]:
    """The same text twice in one list."""
    for number, text in enumerate(texts):
        if text in texts[:number]:
            yield (kind, *more, number), f"`{text}` stands here a second time", "once is enough"


def networks(at: strictyaml.Path, given: Iterable[str]) -> Iterator[Finding]:
    """Texts that are no IP networks."""
    for number, network in enumerate(given):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            try:
                remedy = f"did you mean `{ipaddress.ip_network(network, strict=False)}`?"
            except ValueError:
                remedy = "such as 192.0.2.0/24 or 2001:db8::/32"
            yield (*at, number), f"`{network}` is no network: {error}", remedy


def patterns(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Texts that are no address patterns."""
    for number, pattern in enumerate(given):
        local = pattern.rpartition("@")[0]
        if pattern != "*" and (not domain_of(pattern) or ("*" in local and local != "*") or "*" in domain_of(pattern)):
            yield (*at, number), f"`{pattern}` is no address pattern", 'an address, "*@bank.example" or "*"'


def mailbox(at: strictyaml.Path, address: str) -> Iterator[Finding]:
    """A mailbox of whose return paths each mail has one: `codes+ID.MAC@…` must be a local part (services.verp)."""
    local = address.rpartition("@")[0]
    if "+" in local or "*" in local:
        yield at, f"`{address}` cannot have return paths of its own, made with `+`", "such as codes@bank.example"
    elif len(local) > RETURNS_LOCAL_MAX:
        yield at, f"`{address}` is too long for return paths: a local part has at most 64 characters", (
            f"at most {RETURNS_LOCAL_MAX} characters before the @")


def fingerprints(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Texts that are no SHA-256 fingerprints as the settings want them."""
    for number, text in enumerate(given):
        if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
            yield (*at, number), f"`{text}` is no SHA-256 fingerprint", (
                "64 hexadecimal digits in lower case, without colons")


def is_oid(text: str) -> bool:
    """Dotted decimals without leading zeros; first arc 0 to 2, below 40 under 0 and 1 (X.660); not endlessly long."""
    parts = text.split(".")
    plain = all(p.isascii() and p.isdigit() and (p == "0" or p[0] != "0") and len(p) <= 18 for p in parts)
    if not plain or not 3 <= len(parts) <= 32:
        return False
    return (int(parts[0]) < 2 and int(parts[1]) < 40) or parts[0] == "2"
