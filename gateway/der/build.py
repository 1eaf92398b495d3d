"""Values -> DER (X.690), and the parts that constant templates are made of.

Every function returns a complete element as bytes. Callers give octets that are already DER; nothing is checked
again here but what would silently give another value.
"""

from datetime import UTC, datetime
from functools import lru_cache

from gateway.der import walk


@lru_cache(maxsize=4096)
def header(tag: int, length: int) -> bytes:
    """Identifier and minimal definite length of an element whose content has `length` octets.

    Kept: a mail has thirty, and all but those around its content are the last mail's too.
    """
    identifier = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    if length < 0x80:
        return identifier + bytes((length,))
    size = (length.bit_length() + 7) // 8
    return b"%b%c%b" % (identifier, 0x80 | size, length.to_bytes(size, "big"))


def tlv(tag: int, *parts: bytes) -> bytes:
    """The element with this tag whose content is all `parts`."""
    length = sum(map(len, parts))
    return b"".join((header(tag, length), *parts))


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of elements in this order."""
    return tlv(walk.SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF elements, sorted as DER wants it (X.690 11.6)."""
    return tlv(walk.SET, *sorted(parts))


def octet_string(octets: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(walk.OCTET_STRING, octets)


def bit_string(octets: bytes) -> bytes:
    """BIT STRING without unused bits."""
    return tlv(walk.BIT_STRING, b"\0", octets)


def integer(number: int) -> bytes:
    """INTEGER, negative ones too."""
    size = (number + (number < 0)).bit_length() // 8 + 1
    return tlv(walk.INTEGER, number.to_bytes(size, "big", signed=True))


def enumerated(number: int) -> bytes:
    """ENUMERATED."""
    return b"\x0a" + integer(number)[1:]


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the value is the whole of it
    """BOOLEAN."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def null() -> bytes:
    """NULL."""
    return b"\x05\x00"


@lru_cache(maxsize=1024)
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted text; ValueError for an improper one (a fault of the caller)."""
    arcs = [int(arc) for arc in dotted.split(".")]
    if len(arcs) < 2 or min(arcs) < 0 or arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
        raise ValueError(dotted)
    body = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return tlv(walk.OID, bytes(body))


def utf8(text: str) -> bytes:
    """UTF8String."""
    return tlv(walk.UTF8_STRING, text.encode())


def context(number: int, *parts: bytes, constructed: bool = True) -> bytes:
    """A context-specific element [number], number up to 30: EXPLICIT or IMPLICIT is what `parts` make of it."""
    return tlv((0xA0 if constructed else 0x80) | number, *parts)


def retag(tag: int, element: bytes) -> bytes:
    """`element` (one complete element with a one-octet tag) under another one-octet tag: IMPLICIT tagging."""
    return bytes((tag,)) + element[1:]


def utc_time(at: datetime) -> bytes:
    """UTCTime of an aware time, whole seconds, years 1950 to 2049: ValueError else."""
    at = at.astimezone(UTC)
    if not 1950 <= at.year < 2050:
        raise ValueError(at)
    return tlv(walk.UTC_TIME, at.strftime("%y%m%d%H%M%SZ").encode())


def generalized_time(at: datetime, *, fraction: bool = False) -> bytes:
    """GeneralizedTime of an aware time; with `fraction`, microseconds follow without trailing zeros (X.690 11.7)."""
    at = at.astimezone(UTC)
    text = f"{at.year:04}" + at.strftime("%m%d%H%M%S")
    if fraction and at.microsecond:
        text += f".{at.microsecond:06}".rstrip("0")
    return tlv(walk.GENERALIZED_TIME, text.encode() + b"Z")


def time(at: datetime) -> bytes:
    """Time as RFC 5652 11.3 and RFC 5280 4.1.2.5 want it: UTCTime from 1950 through 2049, GeneralizedTime else."""
    return utc_time(at) if 1950 <= at.astimezone(UTC).year < 2050 else generalized_time(at)
