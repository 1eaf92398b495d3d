"""What a milter declares at SMFIC_OPTNEG, asked over a socket. Truth: libmilter's own mfdef.h, as octets by hand."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.postfix.reading import milter_actions

OFFER = bytes.fromhex("0000000d 4f 00000006 000001ff 00000000")
QUIT = bytes.fromhex("00000001 51")
REPLY = bytes.fromhex("0000000d 4f 00000006 0000003d 00000000")


@contextmanager
def milter(server: socket.socket, reply: bytes) -> Iterator[list[bytes]]:
    """It answers one connection, and keeps what it was sent."""
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            heard.append(connection.recv(100))
            connection.sendall(reply)
            connection.shutdown(socket.SHUT_WR)
            heard.append(connection.recv(100))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with server:
            yield heard
    finally:
        thread.join(30)


def test_it_is_asked_and_dismissed() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with milter(server, REPLY) as heard:
        assert milter_actions(f"inet:127.0.0.1:{server.getsockname()[1]}", "/") == 0x3D
    assert heard == [OFFER, QUIT]


def test_lists_of_macros_may_follow() -> None:
    """SMFIF_SETSYMLIST: the gateway itself declares some."""
    server = socket.create_server(("127.0.0.1", 0))
    with milter(server, bytes.fromhex("00000013 4f 00000006 0000013d 00000000 00000005 6900")):
        assert milter_actions(f"inet:127.0.0.1:{server.getsockname()[1]}", "/") == 0x13D


def test_a_unix_socket_is_found_below_the_queue_directory(tmp_path: Path) -> None:
    for address, queue in (("unix:/private/other", tmp_path), (f"unix:{tmp_path}/private/other", Path("/nowhere"))):
        path = tmp_path / "private" / "other"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        server.listen()
        with milter(server, REPLY):
            assert milter_actions(address, str(queue)) == 0x3D


@pytest.mark.parametrize("reply", [
    b"", b"220 mx ESMTP\r\n", REPLY[:12], bytes.fromhex("0000000d 74 00000006 0000003d 00000000"),
    bytes.fromhex("7fffffff 4f 00000006 0000003d 00000000")])
def test_another_protocol_is_no_answer(reply: bytes) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with milter(server, reply):
        assert milter_actions(f"inet:127.0.0.1:{server.getsockname()[1]}", "/") is None


@pytest.mark.parametrize("address", ["inet:127.0.0.1:1", "unix:/nowhere", "inet:", "", "nonsense"])
def test_nobody_there_is_no_answer(address: str) -> None:
    assert milter_actions(address, "/") is None
