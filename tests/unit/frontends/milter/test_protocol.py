"""The milter protocol, octet by octet: what is not Postfix's ends that connection by name, and no other.

Truth: libmilter/mfdef.h and mfapi.h of Sendmail 8.18, as packets written down here.
"""

import socket
import struct

import pytest

from gateway.frontends.milter import protocol
from gateway.frontends.milter.protocol import Command, Packets, ProtocolError
from tests.support.mta import postfix_side, shared
from tests.unit.frontends.milter.test_session import Way

OFFER = struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)  # of Postfix 3.x: all actions, all steps


def packet(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!I", 1 + len(data)) + name + data


def test_the_gateway_declares_what_it_does() -> None:
    """Header fields added and changed, the body, the sender's parameters; no recipients, no quarantine."""
    with postfix_side(shared(Way())) as postfix:
        postfix.sendall(OFFER)
        length, name, version, actions, steps = struct.unpack("!IcIII", postfix.recv(17))
        lists = postfix.recv(length - 13)
        postfix.sendall(packet(b"Q"))
        assert postfix.recv(1) == b""
    assert (name, version) == (b"O", 6)
    assert actions == 0x01 | 0x02 | 0x10 | 0x40 | 0x100
    assert lists.startswith(b"\0\0\0\0{daemon_name}\0\0\0\0\2{auth_authen} ")
    assert lists.endswith(b"\0\0\0\5i\0")
    assert steps & 0x7F == 0x02 | 0x40, "HELO and end of header left out, MAIL, RCPT, body and fields wanted"
    assert steps & 0x4000, "no answer to MAIL"
    assert not steps & 0x8000, "an answer to RCPT"


@pytest.mark.parametrize(("octets", "rule"), [
    (struct.pack("!IcIII", 13, b"O", 2, 0x3F, 0x7F), "version 2"),
    (struct.pack("!IcIII", 13, b"O", 6, 0x01, 0x1FFFFF), "actions 0x1"),
    (struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x7F), "steps 0x7f"),
    (packet(b"O", b"short"), "fewer than 12 octets"),
    (OFFER + packet(b"z"), "unknown command"),
    (OFFER + struct.pack("!I", 0), "a packet of 0 octets"),
    (OFFER + struct.pack("!I", 1 << 24) + b"M", "a packet of 16777216 octets"),
    (OFFER + struct.pack("!I", 1 << 29) + b"L", "a packet of 536870912 octets"),
    (b"GET / HTTP/1.1\r\n\r\n", "a packet of 1195725856 octets"),
])
def test_another_protocol_ends_the_connection_by_name(octets: bytes, rule: str,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    with postfix_side(values := shared(Way())) as postfix:
        postfix.sendall(octets)
        while postfix.recv(4096):
            pass
    assert values.limits.connections == 0
    logged = "".join(capsys.readouterr())
    assert "milter.protocol_error" in logged
    assert rule in logged


def test_a_second_session_on_one_connection() -> None:
    """SMFIC_QUIT_NC: nothing of the first is in it."""
    with postfix_side(values := shared(Way())) as postfix:
        postfix.sendall(OFFER + packet(b"D", b"C{daemon_name}\0ours\0") + packet(b"C", b"c\x004\0\x19127.0.0.1\0")
                        + packet(b"M", b"<a@bank.test>\0") + packet(b"R", b"<x@else.test>\0"))
        received = b""
        while not received.endswith(packet(b"c")):
            received += postfix.recv(1)
        postfix.sendall(packet(b"K") + OFFER + packet(b"M", b"<a@bank.test>\0") + packet(b"R", b"<x@else.test>\0"))
        received = b""
        while received.count(b"y451") == 0:
            received += postfix.recv(4096)
        assert values.limits.connections == 1


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_packets_in_any_pieces(cut: int) -> None:
    octets = packet(b"L", b"Subject\0 caf\xe9\0") + packet(b"L", b"X\0\0") + packet(b"N")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(octets[:cut])
        packets = iter(Packets(ours))
        if cut < len(octets):
            theirs.sendall(octets[cut:])
        theirs.shutdown(socket.SHUT_WR)
        found = list(packets)
    assert found == [(Command.HEADER, b"Subject\0 caf\xe9\0"), (Command.HEADER, b"X\0\0"), (ord("N"), b"")]
    assert protocol.header(found[0][1]) == ("Subject", b" caf\xe9")
    assert protocol.header(found[1][1]) == ("X", b"")


def test_data_in_the_middle_of_a_packet_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(packet(b"N") + b"\0\0")
        theirs.shutdown(socket.SHUT_WR)
        assert [command for command, _ in Packets(ours)] == [ord("N")]


@pytest.mark.parametrize(("data", "address"), [
    (b"c\x004\0\x19192.0.2.1\0", "192.0.2.1"), (b"c\x006\0\x192001:db8::1\0", "2001:db8::1"), (b"c\0U", ""),
    (b"c\0L\0\0/run/socket\0", ""), (b"", ""),
])
def test_who_connects(data: bytes, address: str) -> None:
    assert protocol.client(data) == address


def test_macros_without_a_value_or_a_name() -> None:
    command, values = protocol.macros(b"Mi\x004F1A\0{mail_addr}\0a@b\0odd\0")
    assert (command, values) == (Command.MAIL, {"i": "4F1A", "{mail_addr}": "a@b"})
    assert protocol.macros(b"") == (0, {})


def test_a_body_in_chunks_that_the_protocol_allows() -> None:
    pieces = list(protocol.replace_body(bytes(200_000)))
    assert [len(piece) - 5 for piece in pieces] == [65_535, 65_535, 65_535, 3_395]


def test_errors_name_no_content() -> None:
    with pytest.raises(ProtocolError, match="fewer than 12"):
        protocol.options(b"secret")
