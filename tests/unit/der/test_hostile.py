"""Hostile DER and BER: deep, huge, endless, truncated at every offset. Truth: what X.690 allows, and a bound on work.

Times are bounds that a quadratic or recursive reader would miss by far, not measurements.
"""

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.der import ber, build, prescan, walk
from gateway.der.walk import DerMalformed
from gateway.errors import GatewayError, Reason


@contextmanager
def bounded(seconds: float = 3.0, octets: int = 64 << 20) -> Iterator[None]:
    tracemalloc.start()
    started = time.process_time()
    try:
        yield
        spent, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent < seconds
    assert peak < octets


def reason_of(call: object, octets: bytes) -> Reason | None:
    try:
        call(octets)  # type: ignore[operator]
    except GatewayError as error:
        return error.reason
    return None


def nested(depth: int) -> bytes:
    octets = b"\x05\x00"
    for _ in range(depth):
        octets = build.sequence(octets)
    return octets


READERS = [prescan.check, ber.to_der]


@pytest.mark.parametrize("reader", READERS)
def test_depth(reader: object) -> None:
    assert reason_of(reader, nested(32)) is None
    assert reason_of(reader, nested(33)) is Reason.INPUT_LIMIT_EXCEEDED
    with bounded():
        assert reason_of(reader, b"\x30\x80" * 500_000) is Reason.INPUT_LIMIT_EXCEEDED
        assert reason_of(reader, nested(20_000)) is Reason.INPUT_LIMIT_EXCEEDED


@pytest.mark.parametrize("reader", READERS)
def test_one_huge_object_identifier(reader: object) -> None:
    """asn1crypto needs 28 s of CPU for 400,000 octets of it."""
    assert reason_of(reader, build.tlv(0x06, b"\x2a" * 64)) is None
    assert reason_of(reader, build.tlv(0x06, b"\x2a" * 65)) is Reason.INPUT_LIMIT_EXCEEDED
    with bounded():
        assert reason_of(reader, build.tlv(0x06, b"\xff" * 400_000 + b"\x01")) is Reason.INPUT_LIMIT_EXCEEDED


@pytest.mark.parametrize("reader", READERS)
def test_too_many_elements(reader: object) -> None:
    limits = prescan.Limits(elements=10)
    for count, reason in ((9, None), (10, Reason.INPUT_LIMIT_EXCEEDED)):
        octets = build.sequence(*[b"\x05\x00"] * count)
        assert reason_of(lambda octets: reader(octets, limits), octets) is reason  # type: ignore[operator]
    with bounded():
        assert reason_of(reader, build.sequence(b"\x05\x00" * 1_000_000)) is Reason.INPUT_LIMIT_EXCEEDED


def test_a_large_message_costs_no_more_than_its_copy() -> None:
    content = build.sequence(build.octet_string(bytes(20 << 20)))
    with bounded(octets=1 << 20):
        prescan.check(content)
        assert ber.to_der(content) is content


def test_many_segments_are_linear() -> None:
    octets = b"\x24\x80" + build.octet_string(b"x" * 50) * 60_000 + b"\x00\x00"
    with bounded(seconds=6.0, octets=200 << 20):
        assert ber.to_der(octets) == build.octet_string(b"x" * 50 * 60_000)


SAMPLE = build.sequence(
    build.oid("1.2.840.113549.1.7.3"),
    build.context(0, build.sequence(build.integer(2), build.set_of(build.octet_string(b"abc"), build.utf8("é")),
                                    build.context(0, bytes(300), constructed=False))))
SAMPLE_BER = (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80\x30\x80\x02\x01\x02\x31\x80"
              b"\x0c\x02\xc3\xa9\x24\x80\x04\x02ab\x24\x03\x04\x01c\x00\x00\x00\x00\x80\x82\x01\x2c"
              + bytes(300) + b"\x00\x00" * 3)


@pytest.mark.parametrize("whole", [SAMPLE, SAMPLE_BER])
@pytest.mark.parametrize("reader", READERS)
def test_truncated_at_every_offset(reader: object, whole: bytes) -> None:
    assert reason_of(reader, whole) is None
    for end in range(len(whole)):
        assert reason_of(reader, whole[:end]) is Reason.INPUT_MALFORMED, end
    assert reason_of(reader, whole + b"\x00") is Reason.INPUT_MALFORMED
    assert reason_of(reader, whole + b"\x00\x00") is Reason.INPUT_MALFORMED


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    """Whatever it is, it is said with a Reason; what passes the scan is converted, and again to the same."""
    if reason_of(prescan.check, octets) is not None:
        assert reason_of(ber.to_der, octets) is not None
        return
    try:
        converted = ber.to_der(octets)
    except DerMalformed:
        return
    assert ber.to_der(converted) is converted
    prescan.check(converted)
    walk.single(converted)


@given(st.data())
def test_sample_with_one_octet_changed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(SAMPLE_BER) - 1))
    octets = SAMPLE_BER[:place] + bytes((data.draw(st.integers(0, 255)),)) + SAMPLE_BER[place + 1:]
    assert reason_of(ber.to_der, octets) in {None, Reason.INPUT_MALFORMED, Reason.INPUT_LIMIT_EXCEEDED}
