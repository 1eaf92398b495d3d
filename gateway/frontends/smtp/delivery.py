"""One mail from its final dot to its reply: hand it to a worker, wait within its deadline, write one log line.

A mail whose work has begun is settled even if its client has left. If a client leaves while its mail waits in line,
the mail is withdrawn, because the client will retry. After the deadline nothing new begins: a mail in line is
withdrawn and answered 451. The gateway waits once more for one that is under way, because its final dot may be out
already. `Origin.deadline_at` keeps those whose dot is not out from sending it.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.limits import Reservation
from gateway.frontends.replies import reply_for, reply_for_reason, reply_to
from gateway.frontends.smtp.data import Checks, Trace, whole_mail
from gateway.frontends.smtp.listener import ListenerContext
from gateway.frontends.smtp.threads import Job
from gateway.frontends.telemetry.logs import log_unexpected
from gateway.frontends.telemetry.mail_log import tell
from gateway.model.mail import Envelope, Mail, Origin
from gateway.model.outcome import Outcome

log = structlog.get_logger("sealgate.smtp")


@dataclass(frozen=True, slots=True)
class Received:
    """What the connection knows of a mail when its last octet has come.

    `answers`: the recipients that are answered one by one, in this order (LMTP); (): one answer for all.
    """

    envelope: Envelope
    origin: Origin
    trace: Trace
    checks: Checks
    permitted: bool
    answers: tuple[str, ...] = ()


class Delivery:
    """On the event loop's thread, but for `_work`."""

    def __init__(self, front: ListenerContext, received: Received, buffer: bytearray, reservation: Reservation) -> None:
        """`buffer` is used up; `reservation` is released when the work is over."""
        self._front = front
        self._received = received
        self._buffer: bytearray | None = buffer
        self._reservation = reservation
        self._size = len(buffer) - 2  # as the client counts: without the virtual CR LF before it
        self._began = time.monotonic()
        self._answer(GatewayError(Reason.MAIL_DEADLINE, retry=True))
        self._job: Job[Outcome] | None = None

    def start(self) -> None:
        """GatewayError(CLIENT_BUSY) if too many wait already."""
        self._job = self._front.workers.submit(self._work)
        self._job.done.add_done_callback(self._settled)

    def withdraw(self) -> bool:
        """Whether it had not begun and never will."""
        return self._job is not None and self._job.withdraw()

    async def reply(self) -> bytes:
        """The reply to the client, at the latest after twice the deadline. Over LMTP all its replies."""
        if self._job is None:
            return self._replies
        done, deadline_s = self._job.done, self._front.limits.message_deadline_s
        await asyncio.wait((done,), timeout=deadline_s)
        if not done.done() and not self.withdraw():
            log.warning("mail.slow", incident=self._received.origin.incident, seconds=round(self._seconds, 3))
            await asyncio.wait((done,), timeout=deadline_s)
        return self._replies

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _work(self) -> Outcome:
        buffer, self._buffer = self._buffer, None  # no other reference may keep the octets during the work
        if buffer is None:
            raise GatewayError(Reason.INTERNAL, "worked on twice", retry=True)
        octets = whole_mail(buffer, self._received.trace.field(), self._received.checks)
        del buffer
        return self._front.handle(Mail(octets, self._received.envelope, self._received.origin))

    def _answer(self, result: Outcome | GatewayError) -> None:
        """The replies, and the code of the log line: of the transaction as a whole."""
        received = self._received
        if isinstance(result, GatewayError):
            reply = reply_for_reason(result.reason, retry=result.retry, permitted=received.permitted,
                                     incident=received.origin.incident)
            self._replies = reply.octets() * max(1, len(received.answers))
        else:
            reply = reply_for(result, permitted=received.permitted)
            each = [reply_to(address, result, permitted=received.permitted) for address in received.answers]
            self._replies = b"".join(one.octets() for one in each or [reply])
        self._code = reply.code

    def _settled(self, done: asyncio.Future[Outcome]) -> None:
        self._buffer = None
        self._reservation.release()
        if done.cancelled():
            self._tell(None)
            return
        error = done.exception()
        if error is None:
            outcome = done.result()
            self._answer(outcome)
            self._tell(outcome)
            return
        if not isinstance(error, GatewayError):
            log_unexpected(log, error, incident=self._received.origin.incident)
            error = GatewayError(Reason.INTERNAL, retry=True)
        self._answer(error)
        self._tell(error)

    def _tell(self, result: Outcome | GatewayError | None) -> None:
        tell(self._received.origin, self._received.envelope, code=self._code, size=self._size,
             seconds=self._seconds, result=result)
