"""One session of Postfix: what the gateway answers to each command, on the thread of its connection.

1. Who sends is known by the daemon: a mail by a daemon of no list is answered 451, and reported as an error.
2. Postfix waits for no answer to MAIL, header fields and body. A mail that is rejected at MAIL is rejected for each of
   its recipients; what is wrong with header and body is answered at the end of the message.
3. Nothing is changed before the end of the message: until then any error leaves the mail as it came, and
   unanswered, so that Postfix does what `default_action` says, which must be tempfail.
4. An unexpected error is 451 with the incident's id.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, starmap
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.milter import protocol
from gateway.frontends.milter.edits import Edits, edits
from gateway.frontends.milter.protocol import Command, ProtocolError
from gateway.frontends.milter.session_limits import FIELD_OCTETS, SessionLimits
from gateway.frontends.milter.transaction import Peer, Rules, Transaction
from gateway.frontends.replies import reply_for, reply_for_reason
from gateway.frontends.smtp.paths import RefusedCommandError
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import log_unexpected
from gateway.frontends.telemetry.mail_log import tell
from gateway.model.mail import Envelope, Mail
from gateway.model.outcome import Outcome, Settled
from gateway.settings import MILTER
from gateway.settings import Milter as MilterSettings

log = structlog.get_logger("sealgate.milter")

Take = Callable[[bytes, Envelope], bool]
_CONTINUE: Final = (protocol.CONTINUE,)
_MACROS: Final = (Command.END, Command.RCPT, Command.MAIL, Command.HELO, Command.CONNECT)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sessions of a process share. `handle`: a mail's whole way; it calls Take to put octets in place."""

    settings: MilterSettings
    rules: Rules
    handle: Callable[[Mail, Take], Outcome]
    clock: Clock
    limits: SessionLimits


class Session:
    """See the module. `answer` is called for each command in its order, then `close` once."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.address = ""
        self.daemon = ""
        self.broken = False  # a command without an answer failed: this session takes no mail any more
        self.mail: Transaction | None = None  # in progress
        self._macros: dict[int, dict[str, str]] = {}  # by the command to which they belong
        self._announced = False  # macros for the next MAIL are there
        self._rejection: Iterable[bytes] = ()  # of the mail, found at MAIL; for each of its recipients
        self._changes: Iterable[bytes] | None = None  # that put the gateway's octets in place
        self._answers: dict[int, Callable[[bytes], Iterable[bytes]]] = {
            Command.RCPT: self._recipient, Command.END: self._end, Command.OPTIONS: self._options}
        self._quiet: dict[int, Callable[[bytes], None]] = {
            Command.CONNECT: self._connect, Command.MAIL: self._sender, Command.HEADER: self._header,
            Command.MACROS: self._keep_macros, Command.BODY: self._chunk, Command.ABORT: self._abort,
            Command.TOO_LONG: self._too_long}
        shared.limits.entered(self)

    def answer(self, command: int, data: bytes) -> Iterable[bytes]:
        """Packets for Postfix; none where it does not wait. ProtocolError."""
        if quiet := self._quiet.get(command):
            try:
                quiet(data)
            except Exception as error:  # noqa: BLE001 - 2: the mail's answer later
                log_unexpected(log, error, incident=self.incident)
                self.broken = True
            return ()
        method = self._answers.get(command)
        if method is None:
            raise ProtocolError(f"an unknown command (octet {command})")
        return self._guarded(lambda: method(data))

    def _guarded(self, act: Callable[[], Iterable[bytes]]) -> Iterable[bytes]:
        """The packets of `act`, or of the reply for what it raises. ProtocolError."""
        try:
            return act()
        except ProtocolError:
            raise
        except RefusedCommandError as refused:
            return self._reply(refused.reply)
        except GatewayError as trouble:
            return self._refused(trouble)
        except Exception as error:  # noqa: BLE001 - 4: reported, and answered 451
            log_unexpected(log, error, incident=self.incident)
            return self._reply(self._refusal(GatewayError(Reason.INTERNAL, retry=True)))

    @property
    def incident(self) -> str:
        """Of the mail in progress, '' if there is none."""
        return self.mail.incident if self.mail else ""

    @property
    def permitted(self) -> bool:
        """Whether the client may read why it is rejected."""
        return self.mail is not None and self.mail.peer.client is not None

    # Options and macros

    @staticmethod
    def _options(data: bytes) -> Iterable[bytes]:
        return (protocol.options(data),)

    def _keep_macros(self, data: bytes) -> None:
        command, values = protocol.macros(data)
        if command == Command.MAIL:
            self._forget_macros()
            self._announced = True
        self._macros[command] = values

    def _forget_macros(self) -> None:
        """Those of a mail."""
        for command in (Command.MAIL, Command.RCPT, Command.END):
            self._macros.pop(command, None)

    def _macro(self, name: str) -> str:
        """What the latest command that has it says; '' where Postfix does not send it."""
        return next((value for command in _MACROS if (value := self._macros.get(command, {}).get(name))), "")

    # Before a mail

    def _connect(self, data: bytes) -> None:
        self.address = protocol.client(data)
        self.daemon = self._macro("{daemon_name}")

    def _sender(self, data: bytes) -> None:
        """MAIL: a new mail, after any end of the one before."""
        self._forget()
        self._rejection = self._guarded(lambda: self._begin(data))

    def _begin(self, data: bytes) -> Iterable[bytes]:
        if not self._announced:  # those of the mail before are not this one's
            self._forget_macros()
        self._announced = False
        if self.broken:
            raise GatewayError(Reason.INTERNAL, "an earlier command of this session failed", retry=True)
        peer = self._peer()
        mail = Transaction.begin(self.shared.rules, peer, protocol.strings(data), self._macro("{mail_addr}"))
        self.shared.limits.began(self, peer.client.name if peer.client else peer.address)
        self.mail = mail
        return ()

    def _peer(self) -> Peer:
        settings = self.shared.settings
        login = self._macro("{auth_authen}") or None
        tls = bool(self._macro("{tls_version}"))
        if self.daemon in settings.outbound_daemons:
            return Peer(True, self.address, tls, login, self.shared.rules.client(self.address, login))
        if self.daemon in settings.inbound_daemons:
            return Peer(False, self.address, tls)
        log.error("milter.unknown_daemon", daemon=self.daemon, peer=self.address)
        raise GatewayError(Reason.CONFIG_INVALID, f"daemon {self.daemon} is in no list", retry=True)

    def _recipient(self, data: bytes) -> Iterable[bytes]:
        """RCPT: this recipient is rejected, not the mail, unless MAIL was already."""
        if self._rejection:
            return self._rejection
        self._transaction().recipient(self.shared.rules, protocol.strings(data), self._macro("{rcpt_addr}"))
        return _CONTINUE

    def _transaction(self) -> Transaction:
        if self.mail is None:
            raise GatewayError(Reason.INTERNAL, "no MAIL before", retry=True)
        return self.mail

    # The message

    def _header(self, data: bytes) -> None:
        if self._may_keep(len(data) + FIELD_OCTETS):
            self._transaction().header(self.shared.rules, *protocol.header(data))
            self._release_refused()

    def _chunk(self, data: bytes) -> None:
        """The next octets of the body."""
        if self._may_keep(len(data)):
            self._transaction().body(self.shared.rules, data)
            self._release_refused()

    def _too_long(self, data: bytes) -> None:
        """A header field that only a raised header_size_limit of Postfix lets pass. The relay rejects it, too."""
        del data
        if self._transaction().refused is None:
            self._transaction().refuse(GatewayError(
                Reason.INPUT_LIMIT_EXCEEDED, f"a header field of more than {protocol.PACKET_OCTETS_MAX} octets"))
            self._release_refused()

    def _may_keep(self, octets: int) -> bool:
        """Nothing is kept of a mail that is too large, or for which there is no room."""
        mail = self._transaction()
        if mail.refused is None:
            try:
                self.shared.limits.take(self, octets)
            except GatewayError as trouble:
                mail.refuse(trouble)
                self._release_refused()
        return mail.refused is None

    def _release_refused(self) -> None:
        if self._transaction().refused is not None:
            self.shared.limits.give_back(self)

    def _end(self, data: bytes) -> Iterable[bytes]:
        """The end of the message: the whole way of the mail, then what Postfix is to do with what it holds."""
        if data:
            self._chunk(data)
        mail, began = self._transaction(), time.monotonic()
        self._changes = None
        queue_id, at = self._macro("i"), self.shared.clock.now()
        result: Outcome | GatewayError
        try:
            result = self._handled(mail.mail(self.shared.rules, at, queue_id))
            reply = reply_for(result, permitted=self.permitted).octets()
        except GatewayError as trouble:
            result, reply = trouble, self._refusal(trouble)
        except Exception as error:  # noqa: BLE001 - reported, and answered 451
            log_unexpected(log, error, incident=self.incident)
            result = GatewayError(Reason.INTERNAL, retry=True)
            reply = self._refusal(result)
        tell(mail.origin(self.shared.rules, at, queue_id), mail.envelope, code=int(reply[:3]), size=mail.size,
             seconds=time.monotonic() - began, result=result)
        answer = self._answered(result, reply)
        self._forget()
        return answer

    def _handled(self, whole: Mail) -> Outcome:
        if self.broken:
            raise GatewayError(Reason.INTERNAL, "a header field could not be read", retry=True)
        mail = self._transaction()
        start = sum(len(raw) for _, raw in mail.fields) + len(b"\r\n")

        def take(octets: bytes, envelope: Envelope) -> bool:
            if mail.contradictory:
                return False
            found = edits(mail.fields, memoryview(whole.octets)[start:], octets)
            opened = envelope.ret == "HDRS" != whole.envelope.ret
            self._changes = None if found is None else _packets(found, mail.sender.path.address if opened else "")
            return found is not None

        with self.shared.limits.turn():
            return self.shared.handle(whole, take)

    # Answers

    def _answered(self, result: Outcome | GatewayError, reply: bytes) -> Iterable[bytes]:
        """Nothing of it is Postfix's to deliver but what was put in place for everybody."""
        if isinstance(result, GatewayError) or result.answer in (Settled.REFUSED, Settled.LATER):
            return self._reply(reply)
        if self._changes is None:
            return (protocol.DISCARD,)
        if any(one.settled is not Settled.TAKEN for one in result.recipients):
            raise GatewayError(Reason.INTERNAL, "in place, and yet not for everybody", retry=True)
        return self._changes

    def _refused(self, trouble: GatewayError) -> Iterable[bytes]:
        """The answer for trouble before the end of a message, with its log line."""
        incident = self.incident or secrets.token_hex(8)
        log.info("session.rejected", incident=incident, reason=str(trouble.reason), detail=trouble.detail,
                 peer=self.address, listener=MILTER)
        metrics.refused(MILTER, trouble.reason)
        return self._reply(self._refusal(trouble, incident))

    def _refusal(self, trouble: GatewayError, incident: str = "") -> bytes:
        """As the relay says it."""
        return reply_for_reason(trouble.reason, retry=trouble.retry, permitted=self.permitted,
                                incident=incident or self.incident).octets()

    @staticmethod
    def _reply(lines: bytes) -> Iterable[bytes]:
        return (protocol.reply(lines),)

    # Afterwards

    def _abort(self, data: bytes) -> None:
        """The mail is given up: RSET, or its client is gone."""
        del data
        self._forget()
        self._forget_macros()

    def close(self) -> None:
        """The connection is gone."""
        self._forget()
        self.shared.limits.left(self)

    def _forget(self) -> None:
        self.mail = self._changes = None
        self._rejection = ()
        self.shared.limits.ended(self)


def _packets(found: Edits, opened_from: str) -> Iterable[bytes]:
    """For Postfix. All that could fail is done now, before the mail counts as sent; the body is cut while it is sent.

    `opened_from`: reverse-path of a mail that was opened, whose bounces must not carry its body (RET=HDRS); or ''.
    """
    header = (*starmap(protocol.change_header, found.changed), *starmap(protocol.change_header, found.deleted),
              *starmap(protocol.insert_header, found.inserted), *starmap(protocol.append_header, found.appended))
    body = protocol.replace_body(found.body) if found.body is not None else ()
    sender = (protocol.change_from(f"<{opened_from}>", "RET=HDRS"),) if opened_from else ()
    return chain(header, body, sender, _CONTINUE)
