"""Bounds on hostile DER or BER before any richer parser sees it (X.690 8.1).

asn1crypto decodes an object identifier in quadratic time and follows any depth; one mail could keep a core busy
for minutes. This scan is linear, never recurses, reads no content and holds one small number per open element.
"""

from dataclasses import dataclass
from typing import Final

from gateway.der.walk import DerMalformed
from gateway.errors import GatewayError, Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """`depth`: open elements at once; `oid_octets`: content of one OBJECT IDENTIFIER; `elements`: in all."""

    depth: int = 32
    oid_octets: int = 64
    elements: int = 200_000  # 64 MiB in segments of 1,000 octets are 67,000; 200,000 take 0.1 s


DEFAULT: Final = Limits()


def check(octets: bytes, limits: Limits = DEFAULT) -> None:  # noqa: C901 - one flat loop, for speed
    """Passes over one element that must fill `octets` exactly, definite or indefinite at every level.

    INPUT_MALFORMED (DerMalformed): a length outside its parent, a tag or length cut short, something after the end.
    INPUT_LIMIT_EXCEEDED: deeper, longer or more than `limits`.
    """
    size = len(octets)
    offset, end, count = 0, size, 0
    ends: list[int] = []  # ends of the open elements' parents
    open_ended: list[bool] = []  # whether the open element is of indefinite length
    while True:
        while ends and not open_ended[-1] and offset == end:
            end = ends.pop()
            open_ended.pop()
        if count and not ends:
            break
        if offset + 2 > end:
            raise DerMalformed("an element is cut short" if size else "there is nothing")
        tag, length = octets[offset], octets[offset + 1]
        offset += 2
        if tag == 0 and length == 0:
            if not (ends and open_ended[-1]):
                raise DerMalformed("an end-of-contents without an open element")
            end = ends.pop()
            open_ended.pop()
            continue
        count += 1
        if count > limits.elements:
            raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {limits.elements} elements")
        if tag & 0x1F == 0x1F:
            offset, length = _after_long_tag(octets, offset - 1, end)
        stop = offset + length
        indefinite = length == 0x80
        if length > 0x80:
            stop, offset = _long_length(octets, offset, length - 0x80, end)
        if not indefinite and stop > end:
            raise DerMalformed("an element is longer than what holds it")
        if tag & 0x20:
            if len(ends) >= limits.depth:
                raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"nested deeper than {limits.depth}")
            ends.append(end)
            open_ended.append(indefinite)
            if not indefinite:
                end = stop
            continue
        if indefinite:
            raise DerMalformed("a primitive element has no length")
        if tag == 0x06 and stop - offset > limits.oid_octets:
            raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"an object identifier of {stop - offset} octets")
        offset = stop
        if not ends:
            break
    if offset != size:
        raise DerMalformed("octets follow the element")


def _after_long_tag(octets: bytes, offset: int, end: int) -> tuple[int, int]:
    """Offset after the first length octet of an element with a tag number from 31 on, and that octet."""
    for at in range(offset, min(offset + 4, end - 1)):
        if octets[at] < 0x80:
            return at + 2, octets[at + 1]
    raise DerMalformed("a tag is cut short or absurd")


def _long_length(octets: bytes, offset: int, count: int, end: int) -> tuple[int, int]:
    """Where the element ends and where its content starts."""
    if count > 8 or offset + count > end:
        raise DerMalformed("a length is cut short or absurd")
    body = offset + count
    return body + int.from_bytes(octets[offset:body], "big"), body
