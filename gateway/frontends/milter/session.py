"""One connection of Postfix's: libmilter calls these methods, each session on a thread of its own.

1. Who sends is known by the daemon: a mail by a daemon of no list is answered 451, and loudly told.
2. Header fields are taken without an answer each; what is wrong with one is answered at the end of the message.
3. Nothing is changed before the end of the message: until then whatever goes wrong leaves the mail as it came, and
   unanswered, so that Postfix does what `default_action` says, which must be tempfail.
4. A surprise is 451 with the incident's id.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, cast

import Milter
import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.milter.edits import Edits, edits
from gateway.frontends.milter.room import Room
from gateway.frontends.milter.transaction import Peer, Rules, Transaction
from gateway.frontends.replies import reply_for, reply_for_reason
from gateway.frontends.smtp.paths import RefusedCommandError
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import surprise
from gateway.frontends.telemetry.mail_log import tell
from gateway.model.mail import Envelope, Mail
from gateway.model.outcome import Outcome, Settled
from gateway.settings import Milter as MilterSettings
from gateway.settings.deployment import MILTER

log = structlog.get_logger("sealgate.milter")

Take = Callable[[bytes, Envelope], bool]
_LINES_MAX: Final = 32  # of a reply (smfi_setmlreply)
_PERMANENT: Final = 500


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sessions of a process share. `handle`: a mail's whole way; it is told what can be put in place."""

    settings: MilterSettings
    rules: Rules
    handle: Callable[[Mail, Take], Outcome]
    clock: Clock
    room: Room


def _guarded(method: Callable[..., int]) -> Callable[..., int]:
    """Whatever goes wrong in a callback is an answer; none ever reaches libmilter."""
    @wraps(method)
    def guarded(self: "Session", *arguments: Any) -> int:
        try:
            return method(self, *arguments)
        except RefusedCommandError as refused:
            return self.say(refused.reply)
        except GatewayError as trouble:
            return self.refused(trouble)
        except Exception as error:  # noqa: BLE001 - told, and answered 451
            surprise(log, error, incident=self.incident)
            return self.say(self.refusal(GatewayError(Reason.INTERNAL, retry=True)))

    return guarded


def _unanswered(method: Callable[..., None]) -> Callable[..., int]:
    """A callback that Postfix does not wait for: what goes wrong in it is the mail's answer later."""
    @wraps(method)
    def quiet(self: "Session", *arguments: Any) -> int:
        try:
            method(self, *arguments)
        except Exception as error:  # noqa: BLE001 - see above
            surprise(log, error, incident=self.incident)
            self.spoilt = True
        return int(Milter.CONTINUE)

    return cast(Callable[..., int], Milter.noreply(quiet))


@Milter.header_leading_space
class Session(Milter.Base):  # type: ignore[misc]
    """See the module. The names of its methods are libmilter's; attributes must not take them."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.address = ""
        self.daemon = ""
        self.spoilt = False  # a callback without an answer went wrong: this session takes no mail any more
        self.under_way: Transaction | None = None
        self._in_place: Edits | None = None
        self._opened = False
        shared.room.entered(self)

    @property
    def incident(self) -> str:
        """Of the mail in work, '' if there is none."""
        return self.under_way.incident if self.under_way else ""

    @property
    def permitted(self) -> bool:
        """Whether the client may read why it is refused."""
        return self.under_way is not None and self.under_way.peer.client is not None

    # Before a mail

    @_unanswered
    def connect(self, hostname: str, family: int, hostaddr: Any) -> None:
        """Postfix's client: (address, port), or nothing for what is no network."""
        del hostname, family
        self.address = hostaddr[0] if isinstance(hostaddr, tuple) else ""
        self.daemon = self.getsymval("{daemon_name}") or ""

    @_guarded
    def envfrom(self, path: str, *words: str) -> int:
        """MAIL: a new mail, whatever became of the one before."""
        self._forget()
        if self.spoilt:
            raise GatewayError(Reason.INTERNAL, "the session is spoilt", retry=True)
        peer = self._peer()
        mail = Transaction.begin(self.shared.rules, peer, (path, *words), self.getsymval("{mail_addr}") or "")
        self.shared.room.began(self, peer.client.name if peer.client else peer.address)
        self.under_way = mail
        return int(Milter.CONTINUE)

    def _peer(self) -> Peer:
        settings = self.shared.settings
        login = self.getsymval("{auth_authen}") or None
        tls = bool(self.getsymval("{tls_version}"))
        if self.daemon in settings.outbound_daemons:
            return Peer(True, self.address, tls, login, self.shared.rules.client(self.address, login))
        if self.daemon in settings.inbound_daemons:
            return Peer(False, self.address, tls)
        log.error("unknown daemon", daemon=self.daemon, peer=self.address)
        raise GatewayError(Reason.CONFIG_INVALID, f"daemon {self.daemon} is in no list", retry=True)

    @_guarded
    def envrcpt(self, path: str, *words: str) -> int:
        """RCPT: what is refused here is this recipient, not the mail."""
        self._mail().recipient(self.shared.rules, (path, *words), self.getsymval("{rcpt_addr}") or "")
        return int(Milter.CONTINUE)

    def _mail(self) -> Transaction:
        if self.under_way is None:
            raise GatewayError(Reason.INTERNAL, "no MAIL before", retry=True)
        return self.under_way

    # The message

    def data(self) -> int:
        """DATA. There is nothing to decide; but Postfix waits for this answer, and with it the receipt of all before.

        Without this callback the first packet of the header follows those of the envelope without any answer between
        them: Nagle's algorithm at Postfix holds it back until the delayed acknowledgement, 41 ms later.
        """
        return int(Milter.CONTINUE)

    @_unanswered
    def header(self, name: str, value: bytes) -> None:
        """One field."""
        self._mail().header(name, value)

    header_bytes = header  # its value comes as octets

    @_guarded
    def body(self, chunk: bytes) -> int:
        """The next octets of the body: what is too much is refused at once, and nothing is kept of it."""
        mail = self._mail()
        self.shared.room.take(self, len(chunk))
        mail.body(self.shared.rules, chunk)
        return int(Milter.CONTINUE)

    @_guarded
    def eom(self) -> int:
        """The end of the message: the whole way of the mail, then what Postfix is to do with what it holds."""
        mail, began = self._mail(), time.monotonic()
        self._in_place, self._opened = None, False
        queue_id, at = self.getsymval("i") or "", self.shared.clock.now()
        result: Outcome | GatewayError
        try:
            result = self._handled(mail.mail(self.shared.rules, at, queue_id))
            reply = reply_for(result, permitted=self.permitted).octets()
        except GatewayError as trouble:
            result, reply = trouble, self.refusal(trouble)
        except Exception as error:  # noqa: BLE001 - told, and answered 451
            surprise(log, error, incident=self.incident)
            result = GatewayError(Reason.INTERNAL, retry=True)
            reply = self.refusal(result)
        tell(mail.origin(self.shared.rules, at, queue_id), mail.envelope, code=int(reply[:3]), size=mail.size,
             seconds=time.monotonic() - began, result=result)
        answer = self._answered(result, reply)
        self._forget()
        return answer

    def _handled(self, whole: Mail) -> Outcome:
        if self.spoilt:
            raise GatewayError(Reason.INTERNAL, "a field was not understood", retry=True)
        mail = self._mail()
        start = sum(len(raw) for _, raw in mail.fields) + len(b"\r\n")

        def take(octets: bytes, envelope: Envelope) -> bool:
            self._in_place = edits(mail.fields, memoryview(whole.octets)[start:], octets)
            self._opened = envelope.ret == "HDRS" != whole.envelope.ret
            return self._in_place is not None

        with self.shared.room.turn():
            return self.shared.handle(whole, take)

    # Answers

    def _answered(self, result: Outcome | GatewayError, reply: bytes) -> int:
        """Nothing of it is Postfix's to deliver but what was put in place for everybody."""
        if isinstance(result, GatewayError) or result.answer in (Settled.REFUSED, Settled.LATER):
            return self.say(reply)
        if self._in_place is None:
            return int(Milter.DISCARD)
        if any(one.settled is not Settled.TAKEN for one in result.recipients):
            raise GatewayError(Reason.INTERNAL, "in place, and yet not for everybody", retry=True)
        self._edit(self._in_place, self._mail().sender.path.address)
        return int(Milter.CONTINUE)

    def _edit(self, wanted: Edits, reverse_path: str) -> None:
        for name, instance in wanted.deleted:
            self.chgheader(name, instance, "")
        for place, name, value in wanted.inserted:
            self.addheader(name, value, place)
        if wanted.body is not None:
            self.replacebody(wanted.body)
        if self._opened and reverse_path:  # no bounce may carry what was opened
            self.chgfrom(f"<{reverse_path}>", "RET=HDRS")

    def refused(self, trouble: GatewayError) -> int:
        """The answer for trouble before the end of a message, with its log line."""
        incident = self.incident or secrets.token_hex(8)
        log.info("refused", incident=incident, reason=str(trouble.reason), detail=trouble.detail, peer=self.address,
                 listener=MILTER)
        metrics.refused(MILTER, trouble.reason)
        return self.say(self.refusal(trouble, incident))

    def refusal(self, trouble: GatewayError, incident: str = "") -> bytes:
        """As the relay says it."""
        return reply_for_reason(trouble.reason, retry=trouble.retry, permitted=self.permitted,
                                incident=incident or self.incident).octets()

    def say(self, reply: bytes) -> int:
        """A reply of ours (see `replies`) as Postfix's."""
        lines = reply.decode("ascii").split("\r\n")[:-1][:_LINES_MAX]
        code, enhanced = lines[0][:3], lines[0][4:].partition(" ")[0]
        texts = [line[4:].partition(" ")[2].replace("%", "%%") for line in lines]
        self.setreply(code, enhanced, *texts)
        return int(Milter.REJECT if int(code) >= _PERMANENT else Milter.TEMPFAIL)

    # Afterwards

    def abort(self) -> int:
        """The mail is given up: RSET, or its client is gone."""
        self._forget()
        return int(Milter.CONTINUE)

    def close(self) -> int:
        """The connection is gone."""
        self._forget()
        self.shared.room.left(self)
        return int(Milter.CONTINUE)

    def _forget(self) -> None:
        self.under_way = self._in_place = None
        self.shared.room.ended(self)
