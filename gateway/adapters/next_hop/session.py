"""One SMTP session with a next hop: smtplib's, made safe against servers that are slow, endless or lying.

RFC 5321 (replies, 4.2.1; time-outs, 4.5.3.2), RFC 3207 (STARTTLS), RFC 2920 (what may be pipelined).
Every fault is a SessionLostError inside this package or a GatewayError towards others.
"""

import select
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError, Reason
from gateway.settings import NextHopSettings

REPLY_LINE_OCTETS_MAX = 2048  # RFC 5321 4.5.3.1.5 says 512; some servers write more
REPLY_LINES_MAX = 128  # an EHLO reply of a rich server has some 20
REPLY_TEXT_MAX = 500
SEND_PIECE_OCTETS = 262_144
_JUST_BEGUN_S = 0.1
LEAST_S = 0.001  # a time-out of 0 would mean not to wait, and one below is an error
_READY = 220
_CODE_DIGITS = 3


_until: ContextVar[float | None] = ContextVar("until", default=None)  # time.monotonic


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Everything that the calling thread does with next hops meanwhile ends after so many seconds, all together.

    A hop that answers nothing, or each command slowly, is then a lost connection: for callers whose own caller waits.
    """
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def at_most(seconds: float) -> float:
    """So many seconds, or what is left of `within`; 0 or less: nothing is left."""
    until = _until.get()
    return seconds if until is None else min(seconds, until - time.monotonic())


class SessionLostError(Exception):
    """The connection gave no answer. `dead`: it was closed by the other side (not merely slow or confused)."""

    def __init__(self, detail: str, *, dead: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.dead = dead


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply: code and text on one line, printable, at most REPLY_TEXT_MAX characters."""

    code: int
    text: str


class HopSession(smtplib.SMTP):
    """A connection; use `open_session`. Not for two threads at once."""

    def __init__(self, hostname: str, connect_timeout_s: float, reply_timeout_s: float) -> None:
        super().__init__(local_hostname=hostname, timeout=connect_timeout_s)
        self.reply_timeout_s = reply_timeout_s
        self.used_at = time.monotonic()
        self.encrypted = False
        self._unread = b""
        self._waits_s: float | None = connect_timeout_s  # the time-out set on the socket

    def getreply(self) -> tuple[int, bytes]:
        """Like smtplib's, but bounded in lines, octets and total time. SessionLostError instead of its exceptions."""
        deadline = time.monotonic() + at_most(self.reply_timeout_s)
        lines: list[bytes] = []
        while True:
            line = self._line(deadline)
            code = line[:_CODE_DIGITS]
            if len(code) != _CODE_DIGITS or not code.isdigit() or line[3:4] not in (b" ", b"-", b""):
                raise SessionLostError("a reply that is none")
            lines.append(line[4:].strip(b" \t"))
            if line[3:4] != b"-":
                return int(code), b"\n".join(lines)
            if len(lines) >= REPLY_LINES_MAX:
                raise SessionLostError("a reply without end")

    def _line(self, deadline: float) -> bytes:
        if self.sock is None:
            raise SessionLostError("not connected", dead=True)
        first = deadline - time.monotonic() > self.reply_timeout_s - _JUST_BEGUN_S
        while (end := self._unread.find(b"\n")) < 0:
            if len(self._unread) > REPLY_LINE_OCTETS_MAX:
                raise SessionLostError("a reply line without end")
            left = deadline - time.monotonic()
            if left <= 0:
                raise SessionLostError("no reply in time")
            try:
                # The first octets of a reply may take all of its time: then the socket need not be set again.
                self._wait(self.reply_timeout_s if first else left)
                first = False
                more = self.sock.recv(8192)
            except TimeoutError:
                raise SessionLostError("no reply in time") from None
            except OSError as error:
                raise SessionLostError(f"connection lost: {type(error).__name__}", dead=True) from None
            if not more:
                raise SessionLostError("connection closed by the other side", dead=True)
            self._unread += more
        line, self._unread = self._unread[:end].rstrip(b"\r"), self._unread[end + 1:]
        return line

    def answer(self) -> Answer:
        """The next reply as a value."""
        code, text = self.getreply()
        return Answer(code, _printable(text))

    def write(self, octets: bytes | memoryview) -> None:
        """Sends octets as they are, in pieces that each have the time of a reply."""
        if self.sock is None:
            raise SessionLostError("not connected", dead=True)
        view = memoryview(octets)
        try:
            for start in range(0, len(view), SEND_PIECE_OCTETS):
                if (left := at_most(self.reply_timeout_s)) <= 0:
                    raise SessionLostError("no reply in time")
                self._wait(left)
                self.sock.sendall(view[start:start + SEND_PIECE_OCTETS])
        except TimeoutError:
            raise SessionLostError("the other side does not read") from None
        except OSError as error:
            raise SessionLostError(f"connection lost: {type(error).__name__}", dead=True) from None

    def send(self, s: str | bytes) -> None:  # type: ignore[override]
        """The commands of smtplib itself go through `write` too."""
        self.write(s.encode("ascii") if isinstance(s, str) else s)

    def _wait(self, seconds: float) -> None:
        """How long the socket's next calls may take. Telling it is a system call, and each mail has six of those."""
        if seconds != self._waits_s and self.sock is not None:
            self.sock.settimeout(seconds)
            self._waits_s = seconds

    def has_input(self) -> bool:
        """Whether unexpected input waits to be read: an end of file, a 421, or worse."""
        if self.sock is None or self._unread:
            return True
        if not isinstance(self.sock, ssl.SSLSocket):
            # An end of file and an error are something to be read, too.
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return bool(poll.poll(0))
        try:
            self._wait(0)
            self.sock.recv(1)  # session tickets are read away; anything else is unasked for
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    def begin(self, host: str, port: int) -> None:
        """Connects, reads the greeting, says EHLO. SessionLostError or OSError if it does not work."""
        code, text = self.connect(host, port)
        if code != _READY or self.sock is None:
            raise SessionLostError(f"greeted with {code} {_printable(text)}")
        # Content and final dot may go out in two writes; they must not wait for an acknowledgement between.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greet()

    def encrypt(self, context: ssl.SSLContext, name: str) -> None:
        """STARTTLS and EHLO again. What came in clear is forgotten (RFC 3207 4.2) and may not linger (5).

        SessionLostError or OSError (of which ssl.SSLError is one) if it does not work.
        """
        code, _ = self.docmd("STARTTLS")
        if code != _READY:
            raise SessionLostError(f"STARTTLS rejected with {code}")
        if self._unread:
            raise SessionLostError("octets in clear after the reply to STARTTLS")
        if self.sock is None:
            raise SessionLostError("not connected", dead=True)
        self._wait(max(at_most(self.timeout), LEAST_S))
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.encrypted = True
        self.greet()

    def greet(self) -> None:
        """EHLO, or HELO where the other side does not know it."""
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features, self.does_esmtp = {}, False
        if self.ehlo()[0] // 100 != 2 and self.helo()[0] // 100 != 2:
            raise SessionLostError("EHLO and HELO rejected")

    def abandon(self) -> None:
        """Closes without a word: for sessions whose state is unknown."""
        self.close()

    def leave(self) -> None:
        """QUIT without waiting for the answer."""
        try:
            if self.sock is not None:
                self.sock.settimeout(1.0)
                self.sock.sendall(b"QUIT\r\n")
        except OSError:
            pass
        self.close()


def _printable(text: bytes) -> str:
    line = " ".join(text.decode("utf-8", "replace").split())
    return "".join(c if c.isprintable() else "?" for c in line)[:REPLY_TEXT_MAX]


@dataclass(frozen=True, slots=True)
class HopTls:
    """The TLS side of the settings, loaded once. `checked` verifies chain and name, `unchecked` neither."""

    policy: str
    name: str
    checked: ssl.SSLContext
    unchecked: ssl.SSLContext

    @classmethod
    def load(cls, settings: NextHopSettings) -> "HopTls":
        """GatewayError(CONFIG_UNREADABLE) if the roots cannot be loaded."""
        ca: Path | None = settings.tls_ca
        try:
            checked = ssl.create_default_context(cafile=str(ca) if ca else None)
        except OSError as error:
            raise GatewayError(Reason.CONFIG_UNREADABLE, f"roots of the next hop: {ca}: {error}") from None
        checked.minimum_version = ssl.TLSVersion.TLSv1_2
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE  # `may` is opportunistic (RFC 7435): better than clear text, no more
        return cls(settings.tls, settings.tls_name or settings.host, checked, unchecked)


def open_session(settings: NextHopSettings, tls: HopTls, hostname: str) -> HopSession:
    """A greeted session, encrypted as the policy wants.

    GatewayError(NEXT_HOP_UNAVAILABLE | NEXT_HOP_TLS, retry=True). With `may` a TLS that fails is followed by a
    new connection in clear, as Postfix does.
    """
    session = _connected(settings, hostname)
    if tls.policy == "none":
        return session
    if not session.has_extn("starttls"):
        if tls.policy == "require":
            session.leave()
            raise GatewayError(Reason.NEXT_HOP_TLS, f"{settings.host}: STARTTLS is not offered", retry=True)
        return session
    try:
        session.encrypt(tls.checked if tls.policy == "require" else tls.unchecked, tls.name)
    except (SessionLostError, OSError, ValueError) as error:
        session.abandon()
        if tls.policy == "require":
            raise GatewayError(Reason.NEXT_HOP_TLS, f"{settings.host}: {error}", retry=True) from None
        return _connected(settings, hostname)
    return session


def _connected(settings: NextHopSettings, hostname: str) -> HopSession:
    connect_timeout_s = max(at_most(settings.connect_timeout_s), LEAST_S)
    session = HopSession(hostname, connect_timeout_s, settings.reply_timeout_s)
    try:
        session.begin(settings.host, settings.port)
    except (SessionLostError, OSError) as error:
        session.abandon()
        detail = f"{settings.host}:{settings.port}: {error}"
        raise GatewayError(Reason.NEXT_HOP_UNAVAILABLE, detail, retry=True) from None
    return session
