"""Both ends of SMTP for tests: a client that writes octets as told, and a next hop that answers as told."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gateway.frontends.smtp.server import SmtpFrontend
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.settings import Settings

TIMEOUT_S = 10.0


class Talk:
    """A raw connection. `say` sends and returns the reply; `send` and `reply` do one half each."""

    def __init__(self, address: tuple[str, int], *, tls: ssl.SSLContext | None = None, peer: str = "") -> None:
        """`peer`: the loopback address to come from."""
        self.sock: socket.socket = socket.create_connection(address, TIMEOUT_S, (peer, 0) if peer else None)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="gw.bank.test")
        self.unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def line(self) -> bytes:
        """The next line without CR LF; b'' at the end of the connection."""
        while b"\r\n" not in self.unread:
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                rest, self.unread = self.unread, b""
                return rest
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\r\n")
        return line

    def reply(self) -> str:
        """A whole reply, lines joined by '|'; '' at the end of the connection."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return "|".join(line.decode() for line in lines)

    def say(self, octets: bytes) -> str:
        self.send(octets + b"\r\n")
        return self.reply()

    def greet(self, name: bytes = b"client.test") -> str:
        assert self.reply().startswith("220")
        return self.say(b"EHLO " + name)

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert self.say(b"STARTTLS").startswith("220")
        self.sock = context.wrap_socket(self.sock, server_hostname="gw.bank.test")

    def mail(self, content: bytes, *, sender: bytes = b"a@bank.test", to: tuple[bytes, ...] = (b"x@else.test",)) -> str:
        """A whole transaction; `content` goes out as it is, before the final dot. The reply to what failed first."""
        for command in (b"MAIL FROM:<" + sender + b">", *(b"RCPT TO:<" + one + b">" for one in to)):
            answer = self.say(command)
            if not answer.startswith("250"):
                return answer
        answer = self.say(b"DATA")
        if not answer.startswith("354"):
            return answer
        self.send(content + b".\r\n")
        return self.reply()

    def ended(self) -> bool:
        """Whether the other side closes now."""
        return self.line() == b""


def settings(**changes: Any) -> Settings:
    """Two listeners on free ports, one client on the loopback."""
    values: dict[str, Any] = {
        "version": 1,
        "bank": {"domains": ["bank.test"], "hostname": "gw.bank.test"},
        "listeners": [{"name": "out", "role": "outbound", "port": 0}, {"name": "in", "role": "inbound", "port": 0}],
        "clients": [{"name": "app", "networks": ["127.0.0.0/8"], "from": ["*@bank.test"]}],
        "next_hops": {"outbound": {"host": "127.0.0.1"}, "inbound": {"host": "127.0.0.1"}},
        "policies": ["unused.yaml"],
    }
    return Settings.model_validate(values | changes)


@dataclass
class Taker:
    """A mail's way that takes everything, or does what `then` says."""

    then: Callable[[Mail], Outcome | None] | None = None
    mails: list[Mail] = field(default_factory=list)

    def __call__(self, mail: Mail) -> Outcome:
        self.mails.append(mail)
        outcome = self.then(mail) if self.then is not None else None
        return outcome or outcome_of(mail, Settled.TAKEN)


def outcome_of(mail: Mail, settled: Settled, **fields: Any) -> Outcome:
    """All recipients alike."""
    recipients = tuple(RecipientOutcome(one.address, settled, **fields) for one in mail.envelope.recipients)
    return Outcome(mail.origin.incident, settled, recipients, fields.get("reason"))


@contextlib.contextmanager
def relay(
    taker: Callable[[Mail], Outcome], values: Settings | None = None, **options: Any
) -> Iterator[Mapping[str, tuple[str, int]]]:
    """A running relay on plain asyncio; gives the addresses."""
    with SmtpFrontend(values or settings(), taker, **options).running() as addresses:
        yield addresses


def until(condition: Callable[[], bool], seconds: float = TIMEOUT_S) -> None:
    """Waits for another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


class Hop:
    """A next hop on a free port: answers commands from `replies` (command word to reply or to a function of the

    line), keeps what it gets. '' as a reply closes the connection; a tuple sends several replies.
    """

    def __init__(
        self,
        features: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 1000000"),
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        **replies: Any,
    ) -> None:
        self.features = features
        self.tls = tls
        self.replies: dict[str, Any] = replies
        self.lines: list[bytes] = []
        self.mails: list[bytes] = []
        self.connections = 0
        self.encrypted = 0
        self._open: list[socket.socket] = []
        self._server = socket.create_server((host, port))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Takes no connection any more, and closes those that are open."""
        with contextlib.suppress(OSError):  # a test may have ended it already
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Closes all connections, as a server that restarts."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else pipelined replies wait 40 ms for an ACK
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError, ValueError):
            opened.callback(sock.close)
            self._dialogue(sock, opened)

    def _dialogue(self, sock: socket.socket, opened: contextlib.ExitStack) -> None:
        """A socket is free only when the stream over it is closed as well: `opened` closes all of them."""
        stream = opened.enter_context(sock.makefile("rb"))
        sender, accepted = False, 0
        sock.sendall(self._answer("connect", b"", "220 hop.test ESMTP"))
        while line := stream.readline():
            self.lines.append(line.rstrip(b"\r\n"))
            word = line.split(b" ")[0].strip().upper().decode()
            if word == "EHLO":
                features = [*self.features, *(["STARTTLS"] if self.tls and not isinstance(sock, ssl.SSLSocket) else [])]
                good = "\r\n".join([f"250-{one}" for one in ("hop.test", *features)]) + "\r\n250 HELP"
            else:
                refused = {"RCPT": not sender, "DATA": not accepted}.get(word, False)
                good = (
                    "503 5.5.1 not now"
                    if refused
                    else {"DATA": "354 go on", "STARTTLS": "220 go on", "QUIT": "221 bye"}.get(word, "250 2.0.0 Ok")
                )
            answer = self._answer(word, line, good)
            if not answer:
                return
            sock.sendall(answer)
            if word in ("MAIL", "RSET", "EHLO"):
                sender, accepted = word == "MAIL" and answer.startswith(b"2"), 0
            accepted += word == "RCPT" and answer.startswith(b"2")
            if word == "STARTTLS" and self.tls and answer.startswith(b"220"):
                sock = opened.enter_context(self.tls.wrap_socket(sock, server_side=True))
                self._open.append(sock)
                stream = opened.enter_context(sock.makefile("rb"))
                self.encrypted += 1
            if word == "DATA" and answer.startswith(b"354"):
                received = bytearray()
                while (more := stream.readline()) != b".\r\n":
                    if not more:
                        return
                    received += more[1:] if more.startswith(b".") else more
                content = bytes(received)
                self.mails.append(content)
                answer = self._answer("dot", content, "250 2.0.0 Ok: queued as HOP1")
                if not answer:
                    return
                sock.sendall(answer)

    def _answer(self, word: str, line: bytes, good: str) -> bytes:
        reply = self.replies.get(word, good)
        if callable(reply):
            reply = reply(line)
        reply = good if reply is None else reply
        return (reply + "\r\n").encode() if reply else b""


__all__ = ["Hop", "Taker", "Talk", "outcome_of", "relay", "settings", "until"]
