"""CompressedData: what openssl writes is read; what grows without bound is not."""

import random
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cms import algorithms, compressed
from gateway.cms.compressed import decompress
from gateway.der import build
from gateway.errors import GatewayError, Reason
from tests.support.peer_openssl import OpenSsl
from tests.support.peer_openssl import write as openssl_file
from tests.support.peers import PeerRefused, run

MEBI = 1 << 20


def wrap(packed: bytes, *, algorithm: str = compressed.ZLIB, version: int = 0) -> bytes:
    return build.sequence(build.oid(algorithms.COMPRESSED_DATA), build.context(0, build.sequence(
        build.integer(version), algorithms.identifier(algorithm),
        build.sequence(build.oid(algorithms.DATA), build.context(0, build.octet_string(packed))))))


def refused(der: bytes, octets_max: int = MEBI) -> Reason:
    with pytest.raises(GatewayError) as caught:
        decompress(der, octets_max)
    return caught.value.reason


@pytest.mark.parametrize("stream", [(), ("-stream",)], ids=["definite", "indefinite"])
def test_what_openssl_writes_is_read(stream):
    content = b"Content-Type: text/plain\r\n\r\n" + b"hello again\r\n" * 9000
    try:
        der = run(OpenSsl().program, "cms", "-compress", "-binary", "-outform", "DER", *stream,
                  "-in", openssl_file(content, "bin"))
    except PeerRefused as error:  # an openssl built without zlib
        pytest.skip(f"openssl cannot compress: {error}")
    assert decompress(der, MEBI) == content


@given(st.binary(max_size=5000))
def test_every_content_survives(content):
    assert decompress(wrap(zlib.compress(content)), 5000) == content


def test_a_large_content_survives_in_pieces():
    content = random.Random(1).randbytes(3 * MEBI) + b"text again and again" * 200_000
    assert decompress(wrap(zlib.compress(content)), len(content)) == content


def test_at_one_below_and_one_above_the_limit():
    content = b"0123456789" * 100
    der = wrap(zlib.compress(content))
    assert decompress(der, 1000) == content
    assert refused(der, 999) is Reason.INPUT_LIMIT_EXCEEDED
    assert decompress(der, 1001) == content
    assert decompress(wrap(zlib.compress(b"")), 0) == b""
    assert refused(der, 0) is Reason.INPUT_LIMIT_EXCEEDED


def test_a_bomb_costs_neither_memory_nor_time():
    packed = zlib.compress(bytes(512 * MEBI), 9)
    assert len(packed) < MEBI
    der = wrap(packed)
    started = time.process_time()
    tracemalloc.start()
    assert refused(der, 1024 * MEBI) is Reason.INPUT_LIMIT_EXCEEDED  # the ratio stops it, not the size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 210 * len(packed)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("der", [
    b"", b"\x30\x00", wrap(b""), wrap(b"no zlib"), wrap(zlib.compress(b"hello")[:-1]),
    wrap(zlib.compress(b"hello") + b"x"), wrap(zlib.compress(b"hello") + bytes(100_000)),
    wrap(zlib.compress(b"hello")[:-4] + b"\0\0\0\0"), wrap(zlib.compress(b"hello"), version=1),
    wrap(zlib.compress(b"hello"), algorithm="1.2.3"), wrap(zlib.compress(b"hello")) + b"x",
], ids=["empty", "nothing in it", "no octets", "no zlib", "cut short", "one more octet", "many more octets",
        "wrong checksum", "version 1", "unknown algorithm", "more after it"])
def test_what_is_no_compressed_data(der):
    assert refused(der) is Reason.INPUT_MALFORMED


def test_octets_after_the_end_are_seen_at_every_reading_boundary():
    """The packed content is read in pieces of 64 KiB; here it ends exactly with the first one."""
    content = random.Random(1).randbytes(65_600)
    content, packed = next((content[:size], found) for size in range(65_400, 65_601)
                           if len(found := zlib.compress(content[:size], 0)) == compressed._READ_OCTETS)
    assert decompress(wrap(packed), MEBI) == content
    assert refused(wrap(packed + b"x")) is Reason.INPUT_MALFORMED
