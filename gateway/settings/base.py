"""Shared by all files of the settings: the section, a finding, and the checks that several of them use."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from gateway import languages, strictyaml
from gateway.model.address import domain_of

Finding = tuple[strictyaml.Path, str, str]  # where, what, remedy

UTC = "UTC"  # known without the system's time zone data
RETURNS_LOCAL_MAX = 14  # RFC 5321 4.5.3.1.1: 64, less up to 32 for an id, 16 for its MAC and 2 separators
# No user before the host.
_UNENCRYPTED = re.compile(r"(?:http|ldap)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?(?:[/?#].*)?")
_URL_LENGTH_MAX = 2048
_NOT_IN_URLS = frozenset(' "<>\\^`{|}')
ENCRYPT = "use an https:// URL, or http://127.0.0.1 for a service on this machine"
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Section(BaseModel):
    """Unknown keys are errors; values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def names(kind: str, given: Sequence[str], *, taken: Iterable[str] = ()) -> Iterator[Finding]:
    """Names that are not valid, or that are used twice. `taken`: names that the gateway reserves."""
    for number, name in enumerate(given):
        if not name or not NAME_CHARACTERS.issuperset(name):
            yield (kind, number, "name"), f"`{name}` is not a valid name", (
                "use only letters, digits, `.`, `-` and `_`, such as online-banking")
        elif name in given[:number]:
            yield (kind, number, "name"), f"the name `{name}` is used twice", "give each a unique name"
        elif name in taken:
            yield (kind, number, "name"), f"the name `{name}` is reserved for the gateway", "choose another name"


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
    """Whether an address is on this machine. A name never is, `localhost` included.

    A hosts file or a name server can give a name any address (RFC 6761 6.3 only recommends loopback).
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def travels_safely(url: str) -> bool:
    """Whether a URL is encrypted (https, ldaps), or its host is on this machine."""
    plain = _UNENCRYPTED.fullmatch(url)
    return url.startswith(("https://", "ldaps://")) or (plain is not None and on_loopback(plain[1].strip("[]")))


def web_url(at: strictyaml.Path, url: str) -> Iterator[Finding]:
    """A URL that no request of the gateway could use: adapters.web.address refuses the same, but only when asked.

    A user name or password in it is not repeated in the finding.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        yield at, f"`{url}` is not a valid URL", "write a URL such as https://host.example/path"
        return
    if "@" in parts.netloc:
        yield at, "the URL contains a user name or password, which the gateway does not send", (
            "remove everything up to the @; time-stamping services and HTTP sources have `username` and "
            "`password_file`")
    elif not url.isascii() or not url.isprintable() or _NOT_IN_URLS & set(url):
        yield at, f"`{url}` contains characters that a URL cannot contain", "encode them as %XX (RFC 3986 2.1)"
    elif not host or port == 0:
        yield at, f"`{url}` has no host to connect to", "write a URL such as https://host.example/path"
    elif len(url) > _URL_LENGTH_MAX:
        yield at, f"the URL is longer than {_URL_LENGTH_MAX} characters", "use a shorter URL"


def repeated(kind: str, texts: Sequence[str], *more: str | int) -> Iterator[Finding]:
    """The same text twice in one list."""
    for number, text in enumerate(texts):
        if text in texts[:number]:
            yield (kind, *more, number), f"`{text}` is in the list twice", "remove one of the two"


def networks(at: strictyaml.Path, given: Iterable[str]) -> Iterator[Finding]:
    """Texts that are not IP networks."""
    for number, network in enumerate(given):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            try:
                remedy = f"did you mean `{ipaddress.ip_network(network, strict=False)}`?"
            except ValueError:
                remedy = "write a network such as 192.0.2.0/24 or 2001:db8::/32"
            yield (*at, number), f"`{network}` is not a valid network: {error}", remedy


def patterns(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Texts that are not address patterns."""
    for number, pattern in enumerate(given):
        local = pattern.rpartition("@")[0]
        if pattern != "*" and (not domain_of(pattern) or ("*" in local and local != "*") or "*" in domain_of(pattern)):
            yield (*at, number), f"`{pattern}` is not a valid address pattern", (
                'write an address such as anna@bank.example, a domain such as "*@bank.example", or "*"')


def mailbox(at: strictyaml.Path, address: str) -> Iterator[Finding]:
    """A mailbox from which the return path of each mail is derived: `codes+ID.MAC@…` (services.verp)."""
    local = address.rpartition("@")[0]
    if "+" in local or "*" in local:
        yield at, f"`{address}` contains `+` or `*`, so no return paths can be derived from it", (
            "write an address such as codes@bank.example")
    elif len(local) > RETURNS_LOCAL_MAX:
        yield at, f"`{address}` is too long: its return paths would have more than 64 characters before the @", (
            f"use at most {RETURNS_LOCAL_MAX} characters before the @")


def fingerprints(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Texts that are not SHA-256 fingerprints in the form of the settings."""
    for number, text in enumerate(given):
        if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
            yield (*at, number), f"`{text}` is not a valid SHA-256 fingerprint", (
                "write 64 hexadecimal digits in lower case, without colons")


def is_oid(text: str) -> bool:
    """Dotted decimals without leading zeros; first arc 0 to 2, below 40 under 0 and 1 (X.660); not endlessly long."""
    parts = text.split(".")
    plain = all(p.isascii() and p.isdigit() and (p == "0" or p[0] != "0") and len(p) <= 18 for p in parts)
    if not plain or not 3 <= len(parts) <= 32:
        return False
    return (int(parts[0]) < 2 and int(parts[1]) < 40) or parts[0] == "2"


def texts(section: str, language: str, templates: Path | None) -> Iterator[Finding]:
    """A language of a service's mails that neither the gateway nor the bank's own directory can have."""
    known = languages.installed()
    if language and templates is None and {language, languages.primary(language)}.isdisjoint(known):
        yield (section, "language"), f"there are no texts in the language `{language}`", (
            f"write one of {', '.join(known)}, or set `templates` to a directory with your own")
