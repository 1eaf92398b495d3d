"""Threads that accept connections. Truth: the kernel, seen from the side of Postfix."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.frontends.milter import acceptors
from gateway.frontends.milter.acceptors import Acceptors
from tests.support.smtp import until


class Echo:
    """Serves a connection: says hello, and reads until the other side closes."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.open = 0

    def __call__(self, channel: socket.socket) -> None:
        self.served.append(threading.current_thread().name)
        self.open += 1
        with channel:
            channel.sendall(b"hello")
            while channel.recv(100):
                pass
        self.open -= 1


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def connect(server: socket.socket) -> socket.socket:
    return socket.create_connection(server.getsockname(), timeout=10)


def hears(channel: socket.socket) -> bool:
    return channel.recv(5) == b"hello"


def threads() -> int:
    return sum(one.name == "milter" for one in threading.enumerate())


def test_many_at_once_and_few_threads_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptors, "WAITING_MAX", 3)
    with listening() as server, ExitStack() as channels:
        running = Acceptors(server, echo := Echo())
        running.start()
        some = [channels.enter_context(connect(server)) for _ in range(20)]
        assert all(map(hears, some))
        assert echo.open == 20
        channels.close()
        until(lambda: threads() <= 4)
        with connect(server) as one:
            assert hears(one)
        running.stop()
        until(lambda: threads() == 0)


def test_no_more_than_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait at the socket, where another worker may take them."""
    monkeypatch.setattr(acceptors, "CONNECTIONS_MAX", 2)
    with listening() as server, connect(server) as one, connect(server) as two, connect(server) as three:
        first, second = Acceptors(server, busy := Echo()), Acceptors(server, free := Echo())
        first.start()
        assert hears(one)
        assert hears(two)
        assert busy.open == 2
        second.start()
        assert hears(three)
        assert free.open == 1
        first.stop()
        second.stop()


def test_after_the_stop_connections_are_for_the_others() -> None:
    with listening() as server, connect(server) as one:
        ending = Acceptors(server, ended := Echo())
        ending.start()
        assert hears(one)
        ending.stop()
        until(lambda: threads() == 1)
        with connect(server) as two:
            successor = Acceptors(server, other := Echo())
            successor.start()
            assert hears(two)
            successor.stop()
        assert ended.open == 1, "what is in progress goes on"
    assert len(ended.served) == len(other.served) == 1
    until(lambda: threads() == 0)


def test_without_another_thread_connections_wait_for_this_one(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As at the limit of processes (pthread_create(3): EAGAIN)."""
    with listening() as server:
        running = Acceptors(server, Echo())
        running.start()

        def fails(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as limit:
            limit.setattr(threading.Thread, "start", fails)
            for _ in range(3):
                with connect(server) as one:
                    assert hears(one)
        with connect(server) as one, connect(server) as two:
            assert hears(one)
            assert hears(two)
        running.stop()
    until(lambda: threads() == 0)
    assert "milter.thread_not_started" in "".join(capsys.readouterr())


def test_without_a_descriptor_connections_wait(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Full:
        """A socket whose process has no free descriptor, once."""

        def __init__(self, server: socket.socket) -> None:
            self.fileno = server.fileno
            self.tries = 0

        def accept(self) -> tuple[socket.socket, object]:
            self.tries += 1
            if self.tries == 1:
                raise OSError(24, "Too many open files")
            return server.accept()

    monkeypatch.setattr(acceptors, "NO_DESCRIPTOR_S", 0.01)
    with listening() as server, connect(server) as one:
        running = Acceptors(Full(server), Echo())  # type: ignore[arg-type]
        running.start()
        assert hears(one)
        running.stop()
    until(lambda: threads() == 0)
    assert "milter.not_accepted" in "".join(capsys.readouterr())
