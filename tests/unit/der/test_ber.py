"""BER -> definite lengths. Truth: one tree written both ways by an encoder of the test's own, and openssl's streams."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.der import ber, build, walk
from gateway.der.walk import DerMalformed


@dataclass(frozen=True)
class Node:
    tag: int
    octets: bytes = b""
    children: tuple["Node", ...] = ()

    def der(self) -> bytes:
        return build.tlv(self.tag, self.octets, *(child.der() for child in self.children))


leaves = st.builds(Node, st.sampled_from([0x02, 0x04, 0x04, 0x05, 0x0C, 0x13, 0x80, 0x81]), st.binary(max_size=200))
trees = st.recursive(leaves, lambda inner: st.builds(
    Node, st.sampled_from([0x30, 0x31, 0xA0, 0xA1, 0x7F2A]), st.just(b""), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=12)


def loose_length(draw: st.DrawFn, length: int) -> bytes:
    """A length in any of the forms that BER allows."""
    size = draw(st.integers(0, 3))
    if size == 0 or length >= 1 << (8 * size):
        return build.header(0x04, length)[1:]
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def loose(draw: st.DrawFn, node: Node) -> bytes:
    """The node as BER: indefinite lengths, segmented strings and long lengths as the dice fall."""
    tag = build.header(node.tag, 0)[:-1]
    if node.tag == 0x04 and draw(st.booleans()):
        return segmented(draw, node.octets, 2)
    if node.children and draw(st.booleans()):
        return tag + b"\x80" + b"".join(loose(draw, child) for child in node.children) + b"\x00\x00"
    content = node.octets + b"".join(loose(draw, child) for child in node.children)
    return tag + loose_length(draw, len(content)) + content


def segmented(draw: st.DrawFn, octets: bytes, depth: int) -> bytes:
    cuts = sorted(draw(st.lists(st.integers(0, len(octets)), max_size=3)))
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    inner = b"".join(segmented(draw, piece, depth - 1) if depth and draw(st.booleans())
                     else b"\x04" + loose_length(draw, len(piece)) + piece for piece in pieces)
    if draw(st.booleans()):
        return b"\x24\x80" + inner + b"\x00\x00"
    return b"\x24" + loose_length(draw, len(inner)) + inner


@st.composite
def both(draw: st.DrawFn) -> tuple[bytes, bytes]:
    tree = draw(trees)
    return loose(draw, tree), tree.der()


@given(both())
def test_any_ber_becomes_the_same_tree(pair: tuple[bytes, bytes]) -> None:
    loosely, strictly = pair
    assert ber.to_der(loosely) == strictly
    assert ber.to_der(strictly) is strictly


def test_what_only_the_schema_knows_stays() -> None:
    """[0] IMPLICIT OCTET STRING in segments looks like [0] EXPLICIT: the reader joins it."""
    assert ber.to_der(b"\xa0\x80\x04\x01a\x04\x01b\x00\x00") == b"\xa0\x06\x04\x01a\x04\x01b"


@pytest.mark.parametrize("octets", [
    b"\x23\x04\x03\x02\x00\xff",  # constructed BIT STRING
    b"\x2c\x03\x0c\x01a", b"\x33\x03\x13\x01a",  # constructed character strings
    b"\x24\x03\x0c\x01a",  # an OCTET STRING made of something else
    b"\x24\x80\x24\x80\x05\x00\x00\x00\x00\x00",
    b"\x04\x80\x00\x00",  # a primitive without a length
    b"\x22\x03\x02\x01\x01",  # constructed INTEGER
])
def test_refused(octets: bytes) -> None:
    with pytest.raises(DerMalformed):
        ber.to_der(octets)


def test_tolerant_tries_strictly_first() -> None:
    tried = []

    def parse(octets: bytes) -> int:
        tried.append(octets)
        return walk.decode_integer(octets, walk.children(octets, walk.single(octets, walk.SEQUENCE))[0])

    assert ber.tolerant(parse, b"\x30\x03\x02\x01\x07") == 7
    assert ber.tolerant(parse, b"\x30\x80\x02\x01\x07\x00\x00") == 7
    assert tried == [b"\x30\x03\x02\x01\x07", b"\x30\x80\x02\x01\x07\x00\x00", b"\x30\x03\x02\x01\x07"]
    tried.clear()
    with pytest.raises(DerMalformed):
        ber.tolerant(parse, b"\x30\x03\x04\x01\x07")
    assert len(tried) == 1  # it is DER, so a second trial would tell nothing
