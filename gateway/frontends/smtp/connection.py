"""One SMTP connection: octets to command lines, replies to octets, TLS, time-outs, hang-ups, unexpected errors.

aiosmtpd's SMTP with its loop replaced: commands end in CR LF and have their length, nothing is logged, what is
unexpected is 451 with an incident and not 500 with the exception's text, a client that leaves does not cancel
what was begun. RFC 5321 4.5.3, RFC 2920, RFC 3207. The commands themselves are in `session`.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from typing import cast

import structlog
from aiosmtpd.smtp import SMTP

from gateway.errors import GatewayError, Reason
from gateway.frontends.limits import Place
from gateway.frontends.replies import reply_for_reason
from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.listener import ListenerContext
from gateway.frontends.smtp.paths import RefusedCommandError
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.smtp")

# RFC 5321 4.5.3.1.4 with CR LF, and what the extensions add: SIZE 26, BODY 17, SMTPUTF8 10, RET 9 and ENVID 107,
# AUTH 507; NOTIFY 28 and ORCPT 507 (RFC 1870, 6152, 6531, 3461, 4954). AUTH lines: RFC 4954 4. What a mail server in
# front says of its client: a HELO of Postfix's line_length_limit (2048), each octet of which may be three in xtext.
COMMAND_OCTETS_MAX = 512
COMMAND_OCTETS_MAX_OF = {"MAIL": 512 + 26 + 17 + 10 + 9 + 107 + 507, "RCPT": 512 + 28 + 507, "AUTH": 12_288 + 2,
                         "XFORWARD": 8_192, "XCLIENT": 8_192}
STREAM_OCTETS_MAX = 16_384
HANDSHAKE_TIMEOUT_S = 10.0
STRANGER_S = 30.0  # to log in at an outbound listener, all replies and pauses included
UNREAD_GRACE_S = 5.0
REPLIES_MAX = 64  # that wait to leave together: a client that always has sent more would have them pile up permanently
FAIR_COMMANDS = 32
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "HOST:"})


class _NoHooks:
    """aiosmtpd's handler: there is none, the subclass does it all."""


class Connection(SMTP):
    """The part that is the same for every command."""

    line_length_limit = STREAM_OCTETS_MAX  # of the stream reader: commands only, DATA passes it by
    protocol = "ESMTP"  # as the greeting says it

    def __init__(self, front: ListenerContext, loop: asyncio.AbstractEventLoop,
                 over: "Callable[[Connection], None]") -> None:
        """`over` is called once, when the connection is gone."""
        super().__init__(_NoHooks(), data_size_limit=front.limits.message_octets_max, enable_SMTPUTF8=True,
                         hostname=front.bank.hostname, ident="ESMTP", timeout=front.limits.command_timeout_s, loop=loop)
        self.front = front
        self.peer = ""
        self.gone = False
        self.stopping = False
        self.ending = False
        self.errors = 0
        self.incident = ""
        self._place: Place | None = None
        self._stranger: asyncio.TimerHandle | None = None
        self._over = over
        self._commands = 0
        self._replies: list[bytes] = []

    # The transport's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, or sends it away."""
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        self._place = self.front.shared.admission.enter(self.peer, known=self.front.knows(self.peer))
        if self._place is None:
            log.warning("session.rejected", reason=str(Reason.CLIENT_BUSY), peer=self.peer,
                        listener=self.front.listener.name)
            metrics.refused(self.front.listener.name, Reason.CLIENT_BUSY)
            sender = cast(asyncio.Transport, transport)
            sender.write(dialogue.TOO_MANY_CONNECTIONS)
            sender.close()
            return
        if self.front.outbound and not self._place.known:
            self._stranger = self.loop.call_later(STRANGER_S, self._timeout_cb)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._over(self)
        if self._place is None:
            return
        self._place.leave()
        self._place = None
        if self._stranger is not None:
            self._stranger.cancel()
        self._left()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Commands go to the stream reader."""
        if self._place is not None:
            super().data_received(data)

    def eof_received(self) -> bool:
        """The client sends no more. What it sent before is still worked on; then the connection ends."""
        if self._place is None:
            return False
        self._left()
        self._reader.feed_eof()
        return not self.secure

    def _left(self) -> None:
        """The client is gone or going; called once or twice."""
        self.gone = True

    @property
    def secure(self) -> bool:
        """Whether TLS is active."""
        return self.tls_object is not None

    @property
    def tls_object(self) -> ssl.SSLObject | None:
        """The TLS layer, None in clear."""
        if self.transport is None:
            return None
        return cast("ssl.SSLObject | None", self.transport.get_extra_info("ssl_object"))

    def _timeout_cb(self) -> None:
        log.info("session.timeout", peer=self.peer, listener=self.front.listener.name, incident=self.incident)
        self.end(dialogue.TOO_SLOW)
        if self.transport is not None:  # a client that does not read replies keeps the connection from closing
            self.loop.call_later(UNREAD_GRACE_S, cast(asyncio.Transport, self.transport).abort)

    def end(self, reply: bytes) -> None:
        """Sends the reply and closes, also while a command runs."""
        self.ending = True
        if self.transport is not None:
            transport = cast(asyncio.Transport, self.transport)
            self._flush()
            transport.write(reply)
            transport.close()

    def stop(self, patience_s: float = 0.0) -> None:
        """Ends the connection as soon as nothing is under way (graceful stop).

        For `patience_s` before, the client may go on: who was greeted sends its mail, who has sent it says QUIT.
        """
        if patience_s:
            self.loop.call_later(patience_s, self.stop)
            return
        self.stopping = True
        if self.idle:
            self.end(dialogue.STOPPING)

    def cut(self) -> None:
        """Ends it now."""
        self.end(dialogue.STOPPING)
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    @property
    def idle(self) -> bool:
        """Whether ending now would break nothing; the subclass knows."""
        return True

    def hold_timeout(self, seconds: float) -> None:
        """The next command, or what is under way, has this long."""
        self._reset_timeout(seconds)

    # Replies

    def say(self, reply: bytes, *, counts: bool = True) -> None:
        """Puts a reply in line. Replies to pipelined commands leave together (RFC 2920 3.2).

        `counts`: a 4xx or 5xx is an error of the client's; the fate of a mail is none.
        """
        if counts and reply[:1] in (b"4", b"5"):
            self.errors += 1
        self._replies.append(reply)

    def _flush(self) -> None:
        if self._replies and self.transport is not None and not self.transport.is_closing():
            self._writer.write(b"".join(self._replies))
        self._replies.clear()

    async def flush(self) -> None:
        """Sends what is in line."""
        if self._replies:
            self._flush()
            if self.transport is not None and not self.transport.is_closing():
                await self._writer.drain()

    @property
    def pending_input(self) -> bool:
        """Whether the client has sent more already."""
        return bool(self._reader._buffer)  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to look

    # Commands

    async def _handle_client(self) -> None:
        try:
            self._reset_timeout()
            self.greet()
            while not self.ending and await self._one_command():
                self._look_who()
                await self._be_fair()
                if self.errors > self.front.limits.errors_per_session_max:
                    self.say(dialogue.TOO_MANY_ERRORS)
                    break
                if self.stopping and self.idle:
                    self.say(dialogue.STOPPING)
                    break
            await self.flush()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass  # the client's side broke; no reply can reach it
        except Exception as error:  # noqa: BLE001 - the last line: a connection's end, never the server's
            log_unexpected(log, error, peer=self.peer, listener=self.front.listener.name)
        finally:
            if self.transport is not None:
                self.transport.close()

    def _look_who(self) -> None:
        """A stranger that has shown to be a client has a client's place and time."""
        if self._stranger is not None and self._place is not None and self.permitted:
            self._stranger.cancel()
            self._stranger = None
            self._place.identified()

    def greet(self) -> None:
        """RFC 5321 3.1."""
        self.say(f"220 {self.hostname} {self.protocol}\r\n".encode())

    async def _one_command(self) -> bool:
        """Reads and does one command; False at the connection's end."""
        line = await self.read_line()
        if line is None:
            return False
        if not line.endswith(b"\r\n") or line.count(b"\r") != 1 or b"\0" in line:
            self.not_understood()
            self.say(dialogue.LINE_END)
            return True
        word, _, rest = line[:-2].partition(b" ")
        try:
            command, argument = word.decode("ascii").upper(), rest.strip(b" \t").decode("utf-8")
        except UnicodeDecodeError:
            self.not_understood()
            self.say(dialogue.NOT_UTF8)
            return True
        if len(line) > COMMAND_OCTETS_MAX_OF.get(command, COMMAND_OCTETS_MAX):
            self.not_understood()
            self.say(dialogue.LINE_TOO_LONG)
            return True
        method = self._smtp_methods.get(command)
        if method is None:
            self.say(dialogue.NOT_HTTP if command in _HTTP else dialogue.UNKNOWN_COMMAND)
            return command not in _HTTP
        self._reset_timeout()
        try:
            await method(argument)
        except RefusedCommandError as refused:
            self.say(refused.reply)
        except GatewayError as trouble:
            self.say(self.refusal(trouble))
        except (ConnectionError, TimeoutError, ssl.SSLError):
            raise
        except Exception as error:  # noqa: BLE001 - an unexpected error is temporary, and its text stays inside
            incident = self.incident or secrets.token_hex(8)
            log_unexpected(log, error, incident=incident, peer=self.peer, listener=self.front.listener.name)
            self.say(reply_for_reason(Reason.INTERNAL, retry=True, permitted=False, incident=incident).octets())
        return True

    async def _be_fair(self) -> None:
        """Lets others have their turn: a packet full of small commands would otherwise be worked off in one go."""
        self._commands += 1
        if self._commands % FAIR_COMMANDS == 0:
            await asyncio.sleep(0)

    async def read_line(self) -> bytes | None:
        """The next line with its LF; None at the connection's end. Too long a line ends the connection."""
        if len(self._replies) >= REPLIES_MAX or b"\n" not in self._reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to look
            await self.flush()
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            self.say(dialogue.LINE_TOO_LONG)
            return None
        except asyncio.IncompleteReadError:
            return None

    def refusal(self, trouble: GatewayError) -> bytes:
        """The reply for trouble with a command, with its log line."""
        incident = self.incident or secrets.token_hex(8)
        log.info("session.rejected", incident=incident, reason=str(trouble.reason), detail=trouble.detail,
                 peer=self.peer, listener=self.front.listener.name)
        metrics.refused(self.front.listener.name, trouble.reason)
        return reply_for_reason(trouble.reason, retry=trouble.retry, permitted=self.permitted,
                                incident=incident).octets()

    def forget(self) -> None:
        """As if the client had just connected."""

    def not_understood(self) -> None:
        """A line was no command at all; the subclass knows what it might have been."""

    @property
    def permitted(self) -> bool:
        """Whether replies may give the client reasons; the subclass decides."""
        return False

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Says 220 and shakes hands; nothing that came in clear survives (RFC 3207 4.2).

        Between the check of the reader and the switch of the protocol nothing can arrive: there is no await that
        suspends, except where the client does not read, and then it is not asked to go on.
        """
        if self.pending_input:
            self.say(dialogue.TOO_EARLY)
            self.ending = True
            return
        await self.flush()
        self._writer.write(dialogue.START_TLS)
        await self._writer.start_tls(context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S)
        self.transport = self._writer.transport
        self._reader._transport = self.transport  # type: ignore[attr-defined]  # noqa: SLF001 - 3.11 forgets it
        self.session = self._create_session()
        self.forget()
