"""A real HTTP server on loopback that answers as a test says, down to the octet; it counts what came."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: dict[str, object] | None = None


Answer = Callable[[Request, "Line"], None]


def reply(body: bytes, status: str = "200 OK", **fields: str) -> bytes:
    """A whole answer. Fields: `location="/x"`; an underscore in a name becomes a hyphen."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Line:
    """What an answer is written to."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self._sock, self._stopped = sock, stopped
        self.open = True

    def send(self, octets: bytes) -> None:
        self._sock.sendall(octets)

    def trickle(self, octets: bytes, every_s: float) -> None:
        """One octet at a time, until the other side or the server ends."""
        for number in range(len(octets)):
            if self._stopped.wait(every_s):
                return
            self._sock.sendall(octets[number:number + 1])

    def endless(self, octets: bytes) -> None:
        while not self._stopped.is_set():
            self._sock.sendall(octets)

    def hang_up(self) -> None:
        self.open = False


@dataclass
class WebServer:
    """`answers` by path (without query); what is not there is 404. Every request is kept in `requests`."""

    answers: dict[str, Answer | bytes] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    accept: bool = True
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._listen)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        """Ends every connection."""
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hang_up_idle(self) -> None:
        """Closes all connections as a server does that tires of waiting."""
        for sock in list(self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._run(self._serve, sock)

    def _serve(self, raw: socket.socket) -> None:
        sock = raw
        try:
            if self.tls is not None:
                raw.settimeout(10)
                sock = self.tls.wrap_socket(raw, server_side=True)
                sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socks.add(sock)
            if not self.accept:
                self._stopped.wait()
            with sock.makefile("rb") as reader:
                line = Line(sock, self._stopped)
                while line.open and (request := _read(reader)) is not None:
                    request.peer = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
                    self.requests.append(request)
                    self._answer(request, line)
        except (OSError, ValueError):
            pass
        finally:
            self._socks.discard(sock)
            sock.close()
            raw.close()

    def _answer(self, request: Request, line: Line) -> None:
        answer = self.answers.get(request.path.partition("?")[0])
        if answer is None:
            line.send(reply(b"nothing here", "404 Not Found"))
        elif isinstance(answer, bytes):
            line.send(answer)
        else:
            answer(request, line)


def _read(reader: object) -> Request | None:
    first = reader.readline().decode("latin-1").split()  # type: ignore[attr-defined]
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := reader.readline().decode("latin-1").rstrip("\r\n")):  # type: ignore[attr-defined]
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    return Request(first[0], first[1], headers, body)


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())
