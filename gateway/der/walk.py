"""A strict walker over definite-length DER (X.690 8.1, 10.1), made for the way of every message.

It gives spans into one buffer and touches only the elements that are asked for, so a megabyte of content
costs as much as an empty one. Lengths must be definite, minimal and inside their parent. What it refuses
may still be BER: see `ber.tolerant`.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.errors import GatewayError, Reason

OID_OCTETS_MAX: Final = 64  # the longest registered arcs need under 30; longer ones cost quadratic time elsewhere
CHILDREN_MAX: Final = 4096  # recipients, certificates or attributes of one message
INTEGER_OCTETS_MAX: Final = 2049  # RSA modulus of 16384 bits and its sign octet
LENGTH_OCTETS_MAX: Final = 8  # X.690 allows 126; nothing of 2**64 octets is coming

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31


class DerMalformed(GatewayError):  # noqa: N818 - named for what it says of the input
    """The octets are not the DER that was expected."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.INPUT_MALFORMED, detail)


class Tlv(NamedTuple):
    """One element: `tag` is its identifier octets as a big-endian number (0x30 for SEQUENCE), the rest are offsets.

    octets[start:end] is the whole element, octets[body:end] its content.
    """

    tag: int
    start: int
    body: int
    end: int


_new: Final = tuple.__new__  # Tlv(…) costs twice as much, and a mail has a hundred of them


def read(octets: bytes, offset: int = 0, end: int | None = None) -> Tlv:
    """The element that starts at `offset`; it must end at or before `end` (default: the end of `octets`).

    What follows it is not looked at; see `single`. DerMalformed.
    """
    if end is None:
        end = len(octets)
    body = offset + 2
    if body > end:
        msg = "an element is cut short"
        raise DerMalformed(msg)
    tag = octets[offset]
    if tag & 0x1F == 0x1F:
        tag, body = _long_tag(octets, offset, end)
    length = octets[body - 1]
    if length >= 0x80:
        count = length - 0x80
        if not 0 < count <= LENGTH_OCTETS_MAX:
            msg = "a length is indefinite or absurd"
            raise DerMalformed(msg)
        after = body + count
        if after > end:
            msg = "a length is cut short"
            raise DerMalformed(msg)
        length = int.from_bytes(octets[body:after], "big")
        if length < 0x80 or (count > 1 and octets[body] == 0):
            msg = "a length is not minimal"
            raise DerMalformed(msg)
        body = after
    stop = body + length
    if stop > end:
        msg = "an element is longer than what holds it"
        raise DerMalformed(msg)
    return _new(Tlv, (tag, offset, body, stop))


def _long_tag(octets: bytes, offset: int, end: int) -> tuple[int, int]:
    """A tag number from 31 on (X.690 8.1.2.4): the identifier as a number, the offset after the first length octet."""
    for size in range(2, 6):
        at = offset + size
        if at >= end:
            break
        if octets[at - 1] < 0x80:
            if octets[offset + 1] == 0x80 or (size == 2 and octets[offset + 1] < 0x1F):
                break
            return int.from_bytes(octets[offset:at], "big"), at + 1
    msg = "a tag is cut short, absurd or not minimal"
    raise DerMalformed(msg)


def single(octets: bytes, tag: int | None = None) -> Tlv:
    """The one element that fills `octets` exactly, of `tag` if given. DerMalformed."""
    tlv = read(octets)
    if tlv.end != len(octets):
        msg = "octets follow the element"
        raise DerMalformed(msg)
    return tlv if tag is None else expect(tlv, tag)


def expect(tlv: Tlv, tag: int) -> Tlv:
    """`tlv`, which must have this tag. DerMalformed."""
    if tlv.tag != tag:
        msg = f"tag {tlv.tag:02x} instead of {tag:02x}"
        raise DerMalformed(msg)
    return tlv


def children(octets: bytes, tlv: Tlv, limit: int = CHILDREN_MAX) -> list[Tlv]:
    """The elements directly inside `tlv`, filling it exactly. DerMalformed, INPUT_LIMIT_EXCEEDED beyond `limit`."""
    found: list[Tlv] = []
    _, _, offset, end = tlv
    while offset < end:
        if len(found) >= limit:
            raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {limit} elements in one")
        # Nearly all elements have one octet of tag and a length under 128, or in two octets: read here, for half the
        # price of a call. `read` decides about all others, also malformed ones.
        tag, body, stop = octets[offset], offset + 2, end + 1
        if body + 2 <= end and tag & 0x1F != 0x1F:
            length = octets[offset + 1]
            if length < 0x80:
                stop = body + length
            elif length == 0x82 and octets[body]:
                stop = body + 2 + (octets[body] << 8 | octets[body + 1])
                body += 2
            elif length == 0x81 and octets[body] >= 0x80:
                body += 1
                stop = body + octets[body - 1]
        if stop > end:
            tag, _, body, stop = read(octets, offset, end)
        found.append(_new(Tlv, (tag, offset, body, stop)))
        offset = stop
    return found


def whole(octets: bytes, tlv: Tlv) -> bytes:
    """The element with its header, copied."""
    return octets[tlv.start:tlv.end]


def content(octets: bytes, tlv: Tlv) -> bytes:
    """The element without its header, copied."""
    return octets[tlv.body:tlv.end]


def decode_oid(octets: bytes, tlv: Tlv) -> str:
    """The dotted text of an OBJECT IDENTIFIER. DerMalformed; INPUT_LIMIT_EXCEEDED beyond 64 octets."""
    return oid_text(octets[expect(tlv, OID).body:tlv.end])


def oid_text(body: bytes) -> str:
    """The dotted text of an OBJECT IDENTIFIER's content octets (X.690 8.19). DerMalformed, INPUT_LIMIT_EXCEEDED."""
    if len(body) > OID_OCTETS_MAX:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"an object identifier of {len(body)} octets")
    return _oid_text(body)


@lru_cache(maxsize=2048)
def _oid_text(body: bytes) -> str:
    if not body or body[-1] & 0x80:
        msg = "an object identifier is cut short"
        raise DerMalformed(msg)
    arcs: list[int] = []
    arc, fresh = 0, True
    for octet in body:
        if fresh and octet == 0x80:
            msg = "an object identifier is not minimal"
            raise DerMalformed(msg)
        arc = arc << 7 | octet & 0x7F
        fresh = octet < 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def decode_integer(octets: bytes, tlv: Tlv, tag: int = INTEGER) -> int:
    """The value of an INTEGER, or of an ENUMERATED if `tag` says so; it must be minimal.

    DerMalformed, INPUT_LIMIT_EXCEEDED.
    """
    if tlv.tag != tag:
        expect(tlv, tag)
    body = octets[tlv.body:tlv.end]
    if len(body) > INTEGER_OCTETS_MAX:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"an integer of {len(body)} octets")
    if not body or (len(body) > 1 and (body[0], body[1] >> 7) in ((0, 0), (0xFF, 1))):
        msg = "an integer is empty or not minimal"
        raise DerMalformed(msg)
    return int.from_bytes(body, "big", signed=True)


def decode_boolean(octets: bytes, tlv: Tlv) -> bool:
    """The value of a BOOLEAN: DER knows only 00 and FF (X.690 11.1). DerMalformed."""
    expect(tlv, BOOLEAN)
    body = octets[tlv.body:tlv.end]
    if body not in (b"\0", b"\xff"):
        msg = "a boolean is neither true nor false"
        raise DerMalformed(msg)
    return body == b"\xff"


def decode_bit_string(octets: bytes, tlv: Tlv) -> bytes:
    """The octets of a BIT STRING that has no unused bits (keys and signatures). DerMalformed."""
    expect(tlv, BIT_STRING)
    if tlv.end == tlv.body or octets[tlv.body] != 0:
        msg = "a bit string is not made of whole octets"
        raise DerMalformed(msg)
    return octets[tlv.body + 1:tlv.end]


def decode_time(octets: bytes, tlv: Tlv) -> datetime:
    """The aware UTC time of a UTCTime or GeneralizedTime in DER form (X.690 11.7, 11.8). DerMalformed.

    UTCTime years 50 to 99 are of the 20th century (RFC 5280 4.1.2.5.1). Fractions are cut to microseconds.
    """
    text = octets[tlv.body:tlv.end]
    if tlv.tag == UTC_TIME and len(text) == 13:
        text = (b"19" if text[:2] >= b"50" else b"20") + text
    elif tlv.tag != GENERALIZED_TIME or not 15 <= len(text) <= 32:
        msg = "this is not a time"
        raise DerMalformed(msg)
    digits, dot, fraction = text[:-1].partition(b".")
    if text[-1:] != b"Z" or len(digits) != 14 or not digits.isdigit() or (dot and not fraction.isdigit()) \
            or fraction.endswith(b"0") or digits[8:10] > b"23":
        msg = "a time is not in its DER form"
        raise DerMalformed(msg)
    plain = digits.decode("ascii")
    try:  # three times as fast as six numbers; it alone would take 24 o'clock, in CPython 3.13
        at = datetime.fromisoformat(f"{plain[:8]}T{plain[8:]}Z")
    except ValueError as error:
        msg = f"a time that no calendar has: {error}"
        raise DerMalformed(msg) from None
    return at.replace(microsecond=int(fraction[:6].ljust(6, b"0"))) if dot else at
