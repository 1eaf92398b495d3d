"""Parses XFORWARD and XCLIENT: what a mail server in front states about its client.

Postfix's protocols of these names (XFORWARD_README, XCLIENT_README): pairs of NAME=value, values in xtext (RFC 3461 4),
[UNAVAILABLE] and [TEMPUNAVAIL] for what is not known, IPV6: before such an address. The parser is strict where a
client's rights depend on a value (ADDR, LOGIN, SOURCE), and where Postfix is strict. Strangers choose HELO, NAME and
IDENT, so unprintable characters become a question mark, and they are cut to length: a mail does not fail for them.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from typing import Literal

from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.paths import RefusedCommandError

XFORWARD = ("NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT")
XCLIENT = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
VALUE_CHARS_MAX = 255  # XFORWARD_README of NAME and HELO
PROTO_CHARS_MAX = 64
PORT_MAX = 65_535

_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_HEX = frozenset("0123456789abcdefABCDEF")
_OF_STRANGERS = frozenset({"NAME", "HELO", "IDENT"})
_IPV6 = "IPV6:"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The attributes that the gateway uses: None if it was not sent, '' if it was sent as not known.

    `address`: an IP address as text, an IPv4 one in an IPv6 one taken out. `ident`: the queue id in front.
    `understood`: False after a command of such a peer that could not be read: then the client has no identity.
    """

    address: str | None = None
    helo: str | None = None
    protocol: str | None = None
    ident: str | None = None
    source: Literal["LOCAL", "REMOTE"] | None = None
    login: str | None = None
    understood: bool = True

    @property
    def tells(self) -> bool:
        """Whether it is about a client other than the peer itself.

        Mail that the peer wrote itself (SOURCE=LOCAL) has no address; a peer with only a queue id names no client.
        """
        if not self.understood or self.address:
            return True
        return self.source != "LOCAL" and (self.address is not None or self.source == "REMOTE")


NOBODY = Forwarded(understood=False)


def parse(argument: str, known: tuple[str, ...], before: Forwarded | None) -> Forwarded:
    """`before` with what the argument says; RefusedCommandError(501) if it is not of this form.

    `known`: the attributes of the command, XFORWARD or XCLIENT.
    """
    given: dict[str, str] = {}
    for word in argument.split():
        name, equals, text = word.partition("=")
        name = name.upper()
        if not equals or name not in known or name in given:
            raise RefusedCommandError(dialogue.BAD_ATTRIBUTE)
        given[name] = _value(name, text)
    if not given:
        raise RefusedCommandError(dialogue.BAD_ATTRIBUTE)
    changed = before or Forwarded()
    if "ADDR" in given:
        changed = replace(changed, address=given["ADDR"])
    if "HELO" in given:
        changed = replace(changed, helo=given["HELO"])
    if "PROTO" in given:
        changed = replace(changed, protocol=given["PROTO"])
    if "IDENT" in given:
        changed = replace(changed, ident=given["IDENT"])
    if "LOGIN" in given:
        changed = replace(changed, login=given["LOGIN"])
    if "SOURCE" in given:
        changed = replace(changed, source="LOCAL" if given["SOURCE"] == "LOCAL" else "REMOTE")
    return changed


def _value(name: str, text: str) -> str:
    octets = _decoded(text)
    if name in _OF_STRANGERS:
        value = octets.decode("utf-8", "replace")[:VALUE_CHARS_MAX]
        value = "".join(char if char.isprintable() else "?" for char in value)
        return "" if value.upper() in _UNKNOWN else value
    try:
        value = octets.decode("ascii")
    except UnicodeDecodeError:
        raise RefusedCommandError(dialogue.BAD_ATTRIBUTE) from None
    if value.upper() in _UNKNOWN:
        return "" if name != "SOURCE" else "REMOTE"
    sound = {
        "ADDR": _address, "DESTADDR": _address, "PORT": _port, "DESTPORT": _port, "PROTO": _protocol,
        "SOURCE": _source, "LOGIN": _login,
    }[name](value)
    if not sound:
        raise RefusedCommandError(dialogue.BAD_ATTRIBUTE)
    return sound


def _decoded(text: str) -> bytes:
    """Out of xtext; '=' in the value is taken, as Postfix writes it."""
    if not text or not all("!" <= char <= "~" for char in text):
        raise RefusedCommandError(dialogue.BAD_ATTRIBUTE)
    first, *pieces = text.split("+")
    octets = bytearray(first.encode("ascii"))
    for piece in pieces:
        if len(piece) < 2 or not _HEX.issuperset(piece[:2]):
            raise RefusedCommandError(dialogue.BAD_ATTRIBUTE)
        octets.append(int(piece[:2], 16))
        octets += piece[2:].encode("ascii")
    return bytes(octets)


def _address(value: str) -> str:
    """As text in its shortest form, '' if it is none. No zone: that would name an interface of another machine."""
    marked = value[:len(_IPV6)].upper() == _IPV6
    try:
        address = ip_address(value[len(_IPV6):] if marked else value)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return "" if marked else str(address)
    if address.scope_id is not None:
        return ""
    return str(address.ipv4_mapped or address)


def _port(value: str) -> str:
    sound = value.isascii() and value.isdigit() and len(value) <= len(str(PORT_MAX)) and 0 < int(value) <= PORT_MAX
    return value if sound else ""


def _protocol(value: str) -> str:
    return value.upper() if value.isalnum() and len(value) <= PROTO_CHARS_MAX else ""


def _source(value: str) -> str:
    return value.upper() if value.upper() in ("LOCAL", "REMOTE") else ""


def _login(value: str) -> str:
    return value if value.isprintable() and len(value) <= VALUE_CHARS_MAX else ""
