"""Attack: MIME bombs and compressed bombs, one after the other, while other mail goes on.

Against one real `sealgate run` with a real next hop behind it: each must leave it as it was. Costs are CPU seconds and
peaks of memory of the gateway's own processes (tests/support/load.py), several times what is seen on a slow machine;
what is quadratic costs a hundred times more.
"""

import zlib
from collections.abc import Iterator
from functools import cache

import pytest

from gateway.cms import algorithms
from gateway.der import build
from tests.attacks.test_load_connections import gateway
from tests.support.load import MIB, Usage, others_mail_goes_on
from tests.support.process import Relay
from tests.support.sealed import cms, message
from tests.unit.mime.test_hostile import HOSTILE

TO = "support@bank.example"

# --- MIME -----------------------------------------------------------------------------------------------------------


def headed(hostile: bytes) -> bytes:
    """A hostile mail with a sender; a mail cannot have a bare CR or a NUL on the wire, or a line without end."""
    octets = b"From: a@stranger.example\r\nMessage-ID: <bomb@stranger.example>\r\n" + hostile
    return b"\r\n".join(line[at:at + 9_000] for line in octets.replace(b"\0", b"x").replace(b"\r\n", b"\n")
                        .replace(b"\r", b"\n").split(b"\n") for at in range(0, max(1, len(line)), 9_000))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """One gateway for all bombs: each must leave it as it was."""
    with gateway(tmp_path_factory.mktemp("bombs") / "home", "message_deadline_s: 120") as (one, _):
        yield one


@pytest.mark.parametrize("name", HOSTILE)
def test_a_mime_bomb_costs_no_more_than_a_mail_of_its_size(running: Relay, name: str) -> None:
    """Some are delivered, some refused; none is a surprise, from a stranger or from a client of ours."""
    usage = Usage(running.process.pid)
    octets = headed(HOSTILE[name](8))
    code, text = running.receive(octets, ["support@bank.example"])
    assert code in (250, 550, 552, 554), (code, text)
    ours = octets.replace(b"a@stranger.example", b"otp@bank.example", 1)
    code, text = running.submit(ours, ["anna@customer.example"])
    assert code in (250, 550, 552, 554), (code, text)
    others_mail_goes_on(running, outbound=1, inbound=1)
    assert usage.cpu_s() < 25
    assert usage.grown() < 50 * len(octets) + 150 * MIB
    assert '"internal.error"' not in running.told


# --- compressed -----------------------------------------------------------------------------------------------------


def squeezed(content: bytes) -> bytes:
    """CompressedData around zlib's octets (RFC 3274), whatever is in them."""
    return cms(build.sequence(build.oid(algorithms.COMPRESSED_DATA), build.context(0, build.sequence(
        build.integer(0), build.sequence(build.oid("1.2.840.113549.1.9.16.3.8")),
        build.sequence(build.oid(algorithms.DATA), build.context(0, build.octet_string(content)))))), "compressed-data")


def zeros(octets: int) -> bytes:
    """So many zeros, compressed without holding them."""
    packer, block, out = zlib.compressobj(9), bytes(MIB), []
    for _ in range(octets // MIB):
        out.append(packer.compress(block))
    return b"".join([*out, packer.flush()])


@cache
def gigabyte() -> bytes:
    """A gigabyte of zeros in a megabyte; to make it takes 3 s."""
    return squeezed(zeros(1 << 30))


def bomb(layers: int) -> bytes:
    """The gigabyte in `layers` - 1 further layers."""
    entity = gigabyte()
    for _ in range(layers - 1):
        entity = squeezed(zlib.compress(entity, 9))
    return entity


@pytest.mark.parametrize("layers", [1, 3, 12])
def test_a_compressed_bomb_is_not_blown_up(running: Relay, layers: int) -> None:
    usage = Usage(running.process.pid)
    code, text = running.receive(message(bomb(layers), to=TO), ["support@bank.example"])
    assert code in (250, 550, 552, 554), (code, text)
    others_mail_goes_on(running, outbound=1, inbound=1)
    assert usage.cpu_s() < 15
    assert usage.grown() < 400 * MIB, "of a gigabyte"
    assert '"internal.error"' not in running.told


def test_layers_that_each_hold_fifty_megabytes_are_not_all_held_at_once(running: Relay) -> None:
    """Eight layers are taken off (RFC 8551 3.7 knows three), each within the limit of one mail."""
    entity = b"Content-Type: text/plain\r\n\r\n" + b"0 " * (20 * MIB)
    for _ in range(10):
        entity = squeezed(zlib.compress(entity, 9))
    usage = Usage(running.process.pid)
    code, text = running.receive(message(entity, to=TO), ["support@bank.example"])
    assert code in (250, 550, 552, 554), (code, text)
    others_mail_goes_on(running, outbound=1, inbound=1)
    assert usage.cpu_s() < 15
    assert usage.grown() < 400 * MIB
