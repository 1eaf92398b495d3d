"""Distinguished names (X.501, RFC 5280 4.1.2.4): text for people (RFC 4514), attributes, and comparison.

Text is for reports and logs. Names are compared as RFC 5280 7.1 says, by `same` and `comparable`.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.der import walk
from gateway.errors import GatewayError

ATTRIBUTES_MAX: Final = 200
VALUE_CHARACTERS_MAX: Final = 256  # of one attribute in a text; RFC 5280 A.1 allows 64 in most, 255 in addresses
TEXT_CHARACTERS_MAX: Final = 2048
COMPARED_OCTETS_MAX: Final = 4096  # of one Name; longer ones are compared octet by octet, and fill no cache
EMAIL_ADDRESS: Final = "1.2.840.113549.1.9.1"

_SHORT: Final[Mapping[str, str]] = MappingProxyType({  # RFC 4514 3
    "2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
    "2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
})
_CHARSETS: Final[Mapping[int, str]] = MappingProxyType({
    0x0C: "utf-8", 0x13: "ascii", 0x12: "ascii", 0x16: "ascii", 0x1A: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be",
    0x1C: "utf-32-be"})


class Attribute(NamedTuple):
    """One attribute: dotted OID, decoded text (None for what is no text), and the value's DER."""

    oid: str
    text: str | None
    der: bytes


def attributes(name: bytes) -> tuple[tuple[Attribute, ...], ...]:
    """The relative names of a DER Name in the order of the encoding, each with its attributes.

    DerMalformed; INPUT_LIMIT_EXCEEDED beyond ATTRIBUTES_MAX.
    """
    return tuple(tuple(_attribute(name, pair) for pair in walk.children(name, walk.expect(part, walk.SET), 20))
                 for part in walk.children(name, walk.single(name, walk.SEQUENCE), ATTRIBUTES_MAX))


def _attribute(name: bytes, pair: walk.Tlv) -> Attribute:
    parts = walk.children(name, walk.expect(pair, walk.SEQUENCE), limit=2)
    if len(parts) != 2:
        raise walk.DerMalformed("an attribute of a name without its value")
    oid, value = parts
    text = None
    if value.tag in _CHARSETS:
        try:
            text = walk.content(name, value).decode(_CHARSETS[value.tag])
        except UnicodeDecodeError:
            text = None
    return Attribute(walk.decode_oid(name, oid), text, walk.whole(name, value))


def same(one: bytes | None, other: bytes | None) -> bool:
    """Whether two DER Names are the same name (RFC 5280 7.1). Equal octets need no reading."""
    return one == other or (one is not None and other is not None and comparable(one) == comparable(other))


def comparable(name: bytes) -> object:
    """A key that is equal for DER Names that RFC 5280 7.1 calls the same; the octets where they cannot be read.

    Case, string type and insignificant spaces do not count (RFC 4518). Attributes that are no text must be identical.
    """
    return _comparable(name) if len(name) <= COMPARED_OCTETS_MAX else name


@lru_cache(maxsize=4096)
def _comparable(name: bytes) -> object:
    try:
        return tuple(tuple(sorted((one.oid, one.der.hex() if one.text is None else f"={_prepared(one.text)}")
                                  for one in part)) for part in attributes(name))
    except GatewayError:
        return name


def _prepared(text: str) -> str:
    """RFC 4518 2.2 (map), 2.3 (normalise) and 2.6.1 (insignificant spaces)."""
    if not text.isascii():
        text = "".join(char for char in text if unicodedata.category(char) != "Cf")
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.casefold().split())


def values(name: bytes, oid: str) -> tuple[str, ...]:
    """The texts of all attributes with this OID. DerMalformed, INPUT_LIMIT_EXCEEDED."""
    return tuple(attribute.text for part in attributes(name) for attribute in part
                 if attribute.oid == oid and attribute.text is not None)


def text(name: bytes) -> str:
    """RFC 4514 text of a DER Name, last relative name first. Never fails: the unreadable becomes '#' and hex.

    Absurdly long ones are cut: the text is for people.
    """
    try:
        parts = attributes(name)
    except GatewayError:
        return f"#{name[:200].hex()}"
    return ",".join("+".join(map(_pair, part)) for part in reversed(parts))[:TEXT_CHARACTERS_MAX]


def _pair(attribute: Attribute) -> str:
    if attribute.text is None:
        value = f"#{attribute.der[:VALUE_CHARACTERS_MAX].hex()}"
    else:
        value = _escaped(attribute.text[:VALUE_CHARACTERS_MAX])
    return f"{_SHORT.get(attribute.oid, attribute.oid)}={value}"


def _escaped(value: str) -> str:
    """RFC 4514 2.4; control characters go as their UTF-8 octets, so that no report or log is broken by a name."""
    out = []
    last = len(value) - 1
    for place, char in enumerate(value):
        if char in '"+,;<>\\' or (char == "#" and not place) or (char == " " and place in {0, last}):
            out.append("\\" + char)
        elif char.isprintable():
            out.append(char)
        else:
            out.append("".join(f"\\{octet:02x}" for octet in char.encode("utf-8", "surrogatepass")))
    return "".join(out)
