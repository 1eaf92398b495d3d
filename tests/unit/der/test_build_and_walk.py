"""DER both ways. Truth: octets from X.690 8 and RFC 5652 11.3, asn1crypto as the second reader, and properties."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from gateway.der import build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason


@pytest.mark.parametrize("dotted, hexed", [
    ("1.2.840.113549.1.1.1", "06092a864886f70d010101"),  # rsaEncryption, RFC 8017 A.1
    ("2.999.3", "0603883703"),  # X.690 8.19.5's own example
    ("0.39", "060127"), ("1.0", "060128"), ("2.0", "060150"), ("2.5.4.3", "0603550403"),
    ("1.3.6.1.4.1.4294967296", "060a2b060104019080808000"),
])
def test_object_identifiers(dotted: str, hexed: str) -> None:
    octets = bytes.fromhex(hexed)
    assert build.oid(dotted) == octets
    assert walk.decode_oid(octets, walk.single(octets)) == dotted


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**70), max_size=5))
def test_object_identifiers_as_asn1crypto_has_them(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (first, second, *rest)))
    octets = build.oid(dotted)
    assert core.ObjectIdentifier(dotted).dump() == octets
    assert walk.decode_oid(octets, walk.single(octets)) == dotted


@pytest.mark.parametrize("dotted", ["1", "3.1", "1.40", "1.-1", "", "1.x"])
def test_no_such_object_identifier(dotted: str) -> None:
    with pytest.raises(ValueError):
        build.oid(dotted)


@given(st.integers(-2**200, 2**200))
def test_integers_as_asn1crypto_has_them(number: int) -> None:
    octets = build.integer(number)
    assert octets == core.Integer(number).dump()
    assert walk.decode_integer(octets, walk.single(octets)) == number


@given(st.binary(max_size=70_000), st.sampled_from([0x04, 0x30, 0x80, 0xA3, 0x1F8101]))
def test_header_lengths(content: bytes, tag: int) -> None:
    octets = build.tlv(tag, content)
    tlv = walk.single(octets)
    assert tlv.tag == tag
    assert walk.content(octets, tlv) == content
    assert walk.whole(octets, tlv) == octets
    assert walk.single(octets, tag) == tlv


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_lengths_at_the_edges(size: int) -> None:
    octets = build.octet_string(bytes(size))
    assert octets == core.OctetString(bytes(size)).dump()
    assert walk.single(octets) == Tlv(0x04, 0, len(octets) - size, len(octets))


def test_set_of_is_sorted() -> None:
    one, two, three = build.integer(1), build.integer(2), build.integer(256)
    assert build.set_of(three, two, one) == build.tlv(0x31, one, two, three)  # X.690 11.6: as octet strings


def test_the_small_ones() -> None:
    assert build.null() == b"\x05\x00"
    assert build.boolean(True) == b"\x01\x01\xff"
    assert build.enumerated(3) == b"\x0a\x01\x03"
    assert build.utf8("ä") == b"\x0c\x02\xc3\xa4"
    assert build.context(1, b"x", constructed=False) == b"\x81\x01x"
    assert build.context(1, b"x") == b"\xa1\x01x"
    assert build.retag(0x31, build.context(0)) == b"\x31\x00"
    octets = build.bit_string(b"\xf0")
    assert octets == b"\x03\x02\x00\xf0"
    assert walk.decode_bit_string(octets, walk.single(octets)) == b"\xf0"
    assert walk.decode_boolean(b"\x01\x01\x00", walk.single(b"\x01\x01\x00")) is False


@pytest.mark.parametrize("at, hexed", [  # RFC 5652 11.3, RFC 5280 4.1.2.5
    (datetime(1949, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x18\x0f19491231235959Z"),
    (datetime(1950, 1, 1, tzinfo=UTC), b"\x17\x0d500101000000Z"),
    (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d991231235959Z"),
    (datetime(2000, 1, 1, tzinfo=UTC), b"\x17\x0d000101000000Z"),
    (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
    (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
    (datetime(2050, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), b"\x17\x0d491231230000Z"),
])
def test_times(at: datetime, hexed: bytes) -> None:
    assert build.time(at) == hexed
    assert walk.decode_time(hexed, walk.single(hexed)) == at


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_with_fractions(at: datetime) -> None:
    octets = build.generalized_time(at, fraction=True)
    assert walk.decode_time(octets, walk.single(octets)) == at


@pytest.mark.parametrize("octets", [
    b"\x17\x0b2501010000Z", b"\x17\x0d25010100000 Z", b"\x17\x0d250101000000+", b"\x17\x0d251301000000Z",
    b"\x18\x0d250101000000Z", b"\x18\x1320250101000000.500", b"\x18\x1220250101000000.50Z",
    b"\x18\x1020250101000000.Z", b"\x18\x1020250101000000,Z", b"\x18\x0f2025010100\xc2\xb20Z", b"\x04\x0d250101000000Z",
    b"\x17\x0d-50101000000Z", b"\x18\x21" + b"20250101000000." + b"1" * 17 + b"Z",
])
def test_times_that_are_none(octets: bytes) -> None:
    with pytest.raises(DerMalformed):
        walk.decode_time(octets, walk.read(octets))


@pytest.mark.parametrize("octets", [
    b"", b"\x30", b"\x30\x01", b"\x30\x80\x00\x00", b"\x30\x81\x7f", b"\x30\x82\x00\x81", b"\x30\x82\x01", b"\x30\xff",
    b"\x30\x89\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", b"\x1f\x01\x00",
    b"\x1f\x80\x01\x00", b"\x1f\xff\xff\xff\xff\x7f\x00", b"\x1f", b"\x1f\x81", b"\x30\x00\x00",
    b"\x04\x81\x01a", b"\x04\x81\x7f" + bytes(127), b"\x04\x82\x00\x80" + bytes(128),  # X.690 10.1: not minimal
])
def test_what_is_not_der(octets: bytes) -> None:
    with pytest.raises(DerMalformed) as refused:
        walk.single(octets)
    assert refused.value.reason is Reason.INPUT_MALFORMED


@pytest.mark.parametrize("octets", [
    b"\x06\x00", b"\x06\x01\x80", b"\x06\x02\x80\x01", b"\x06\x03\x2a\x80\x01", b"\x06\x02\x2a\x86", b"\x04\x01\x2a"])
def test_object_identifiers_that_are_none(octets: bytes) -> None:
    with pytest.raises(DerMalformed):
        walk.decode_oid(octets, walk.single(octets))


@pytest.mark.parametrize("octets", [
    b"\x02\x00", b"\x02\x02\x00\x7f", b"\x02\x02\xff\x80", b"\x04\x01\x00", b"\x0a\x01\x00"])
def test_integers_that_are_none(octets: bytes) -> None:
    with pytest.raises(DerMalformed):
        walk.decode_integer(octets, walk.single(octets))


def test_enumerated_is_no_integer_and_the_other_way_round() -> None:
    """X.680 20: two types with two tags."""
    number = b"\x0a\x01\x05"
    assert walk.decode_integer(number, walk.single(number), walk.ENUMERATED) == 5
    with pytest.raises(DerMalformed):
        walk.decode_integer(b"\x02\x01\x05", walk.single(b"\x02\x01\x05"), walk.ENUMERATED)


def test_limits() -> None:
    long_oid = build.tlv(0x06, b"\x2a" + b"\x81" * 63 + b"\x01")
    long_integer = build.tlv(0x02, b"\x01" * 2050)
    many = build.sequence(*[b"\x05\x00"] * 4097)
    for call in (lambda: walk.decode_oid(long_oid, walk.single(long_oid)),
                 lambda: walk.decode_integer(long_integer, walk.single(long_integer)),
                 lambda: walk.children(many, walk.single(many))):
        with pytest.raises(GatewayError) as refused:
            call()
        assert refused.value.reason is Reason.INPUT_LIMIT_EXCEEDED
    assert len(walk.children(many, walk.single(many), limit=4097)) == 4097
    longest = build.tlv(0x06, b"\x2a" * 64)
    assert walk.decode_oid(longest, walk.single(longest)).count(".") == 64


def one_by_one(octets: bytes, parent: Tlv) -> list[Tlv]:
    found: list[Tlv] = []
    offset = parent.body
    while offset < parent.end:
        found.append(walk.read(octets, offset, parent.end))
        offset = found[-1].end
    return found


@given(st.lists(st.sampled_from([
    b"\x04\x02ab", b"\x05\x00", b"\x04\x81\x80" + bytes(128), b"\x04\x82\x01\x00" + bytes(256), b"\x30\x82", b"\x82",
    b"\x04\x82\x00\x20" + bytes(32), b"\x1f", b"\x80", b"\x83", b"\xff", b"\x01", b"\x00"]), max_size=8).map(b"".join),
    st.integers(0, 2), st.integers(0, 2))
def test_children_are_what_read_finds_one_by_one(octets: bytes, left: int, right: int) -> None:
    parent = Tlv(walk.SEQUENCE, 0, min(left, len(octets)), max(len(octets) - right, 0))
    try:
        expected = one_by_one(octets, parent)
    except DerMalformed:
        with pytest.raises(DerMalformed):
            walk.children(octets, parent)
    else:
        assert walk.children(octets, parent) == expected


def test_children_fill_their_parent() -> None:
    octets = b"\x30\x03\x05\x00\x05"
    with pytest.raises(DerMalformed):
        walk.children(octets, walk.single(octets))
    inside = b"\x30\x04\x04\x03abc"  # the string claims one octet more than its parent has
    with pytest.raises(DerMalformed):
        walk.children(inside, walk.read(inside, 0, 6))
