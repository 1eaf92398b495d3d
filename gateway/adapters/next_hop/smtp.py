"""The next hop over SMTP: whole mails in, one reply per recipient out, on kept connections.

RFC 5321; RFC 2920 (MAIL, RCPT, DATA in one packet), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8),
RFC 3461 (DSN parameters; dropped where the next hop does not know them, as its 5.2.2 allows), RFC 3207.
Octets leave as they are; what they need and the next hop lacks is an error, never a conversion. What could be
taken apart differently behind us (bare CR or LF) does not leave.
"""

import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from gateway.adapters.next_hop.pool import HopPool
from gateway.adapters.next_hop.session import (
    SEND_PIECE_OCTETS,
    Answer,
    HopSession,
    HopTls,
    SessionLostError,
    open_session,
)
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Recipient
from gateway.model.wire import ends_in_pairs, stuffed
from gateway.ports.next_hop import HopReply
from gateway.settings import NextHopSettings

# So many commands go out before their replies are read: both fit any socket's buffers (RFC 2920 3.1).
PIPELINED_MAX = 50
_START = 354
_CLOSING = 421
_PERMANENT = 500
NOT_SENT = "not sent, because another recipient was rejected"
# Characters that a command line must not have; single classes, linear.
_UNSAFE_ADDRESS = re.compile(r"[\x00-\x1f\x7f<>]")
_UNSAFE_PARAMETER = re.compile(r"[^\x21-\x7e]")

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class SmtpNextHop:
    """Implements ports.next_hop.NextHop; thread-safe."""

    def __init__(self, settings: NextHopSettings, *, hostname: str = "localhost") -> None:
        """`hostname` is our name in EHLO. GatewayError(CONFIG_UNREADABLE) if the TLS roots cannot be loaded."""
        tls = HopTls.load(settings)
        self.settings = settings
        self._pool = HopPool(lambda: open_session(settings, tls, hostname), connections_max=settings.connections_max,
                             idle_s=settings.idle_s, wait_s=settings.connect_timeout_s)

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        """See NextHop. `octets`: a whole message with CR LF, without dot-stuffing.

        GatewayError(MAIL_BARE_NEWLINE) for other line ends, RECIPIENT_ADDRESS_REFUSED for an address that would
        break the command line.
        """
        if not envelope.recipients:
            return ()
        if not ends_in_pairs(octets):
            raise GatewayError(Reason.MAIL_BARE_NEWLINE, "a bare CR or LF would leave")
        return self._on_session(_Transaction(octets, envelope, before_dot, all_or_none=all_or_none))

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See NextHop."""
        return self._on_session(_Probe(reverse_path, recipient))

    def health(self) -> tuple[str, ...]:
        """One sentence per trouble; empty when the next hop greets us as the settings want."""
        try:
            session, _ = self._pool.take()
        except GatewayError as trouble:
            return (str(trouble),)
        self._pool.give(session)
        return ()

    def close(self) -> None:
        """Ends the kept connections."""
        self._pool.close()

    def _on_session(self, work: "_Work[T]") -> T:
        """Runs the dialogue; a kept connection that turns out to be dead before the dot is replaced once."""
        session, kept = self._pool.take()
        while True:
            try:
                result = work.run(session)
            except SessionLostError as lost:
                if not (kept and lost.dead and work.repeatable):
                    self._pool.drop(session)
                    return work.lost(lost)
                session, kept = self._pool.replace(session), False
            except BaseException:
                self._pool.drop(session)
                raise
            else:
                break
        if work.clean:
            self._pool.give(session)
        else:
            self._pool.drop(session)
        return result


class _Work(Protocol[T_co]):
    """One dialogue. `repeatable` until something may have been taken; `clean`: the session may be used again."""

    repeatable: bool
    clean: bool

    def run(self, session: HopSession) -> T_co:
        """Speaks; SessionLostError if there is no answer."""
        ...

    def lost(self, lost: SessionLostError) -> T_co:
        """The result when the connection was lost for good."""
        ...


class _Transaction:
    """One mail; used once (its `run` a second time where the first met a dead connection)."""

    def __init__(self, octets: bytes, envelope: Envelope, before_dot: Callable[[tuple[str, ...]], None] | None, *,
                 all_or_none: bool) -> None:
        for address in (envelope.reverse_path, *(one.address for one in envelope.recipients)):
            _check_address(address)
        for parameter in (envelope.envid, *(one.orcpt for one in envelope.recipients),
                          *(word for one in envelope.recipients for word in one.notify)):
            if parameter is not None and _UNSAFE_PARAMETER.search(parameter):
                raise GatewayError(Reason.RECIPIENT_ADDRESS_REFUSED, "a DSN parameter would break the command line")
        self.octets = octets
        self.envelope = envelope
        self.before_dot = before_dot
        self.all_or_none = all_or_none and len(envelope.recipients) > 1
        self.repeatable = True
        self.clean = False
        self.refused: dict[int, Answer] = {}

    def run(self, session: HopSession) -> tuple[HopReply, ...]:
        self.refused = {}
        if (answer := self._too_large(session)) is not None:
            self.clean = True
            return self._everybody(answer)
        commands = [self._mail(session), *(_rcpt(one, session) for one in self.envelope.recipients)]
        pipelined = session.has_extn("pipelining")
        if data_early := pipelined and not self.all_or_none:
            commands.append(b"DATA\r\n")
        answers = _ask(session, commands, pipelined=pipelined)
        mail, rcpts = answers[0], answers[1:]
        if mail.code == _CLOSING:  # a kept connection may say so at its end
            raise SessionLostError(mail.text, dead=True)
        if not _good(mail):
            self._reset(session, answers[-1] if data_early else None)
            return self._everybody(mail)
        data = rcpts.pop() if data_early else None
        self.refused = {number: answer for number, answer in enumerate(rcpts) if not _good(answer)}
        accepted = tuple(one.address for number, one in enumerate(self.envelope.recipients)
                         if number not in self.refused)
        if not accepted or (self.all_or_none and self.refused):
            self._reset(session, data)
            return self._everybody(Answer(0, NOT_SENT))
        if data is None:
            [data] = _ask(session, [b"DATA\r\n"], pipelined=False)
        if data.code != _START:
            self._reset(session, data)
            return self._everybody(data)
        return self._everybody(self._content(session, accepted))

    def lost(self, lost: SessionLostError) -> tuple[HopReply, ...]:
        return self._everybody(Answer(0, lost.detail))

    def _content(self, session: HopSession, accepted: tuple[str, ...]) -> Answer:
        octets = stuffed(self.octets)
        end = b".\r\n" if octets.endswith(b"\r\n") or not octets else b"\r\n.\r\n"
        # The last piece goes out with the dot in one write; `before_dot` comes right before it.
        early = len(octets) - len(octets) % SEND_PIECE_OCTETS
        if early:
            session.write(memoryview(octets)[:early])
        if self.before_dot is not None:
            self.before_dot(accepted)
        self.repeatable = False
        session.write(octets[early:] + end)
        answer = session.answer()
        self.clean = answer.code != _CLOSING
        return answer

    def _reset(self, session: HopSession, data: Answer | None) -> None:
        """Ends a transaction that sends nothing. A 354 in spite of all is answered with an empty mail (RFC 2920 3.1):

        it has no recipients, so it has no effect.
        """
        if data is not None and data.code == _START:
            if len(self.refused) < len(self.envelope.recipients):
                return  # a recipient might get an empty mail: the connection ends instead
            session.write(b".\r\n")
            session.answer()
        self.clean = _rest(session)

    def _everybody(self, answer: Answer) -> tuple[HopReply, ...]:
        """The answer for all that were not refused on their own."""
        replies = [self.refused.get(number, answer) for number in range(len(self.envelope.recipients))]
        return tuple(HopReply(one.address, reply.code, reply.text)
                     for one, reply in zip(self.envelope.recipients, replies, strict=True))

    def _too_large(self, session: HopSession) -> Answer | None:
        limit = session.esmtp_features.get("size", "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < len(self.octets):
            return Answer(552, f"5.3.4 larger than the {int(limit[:18])} octets that the next hop takes")
        return None

    def _mail(self, session: HopSession) -> bytes:
        """The MAIL command. GatewayError(NEXT_HOP_EIGHT_BIT | NEXT_HOP_SMTPUTF8) where the next hop is not able."""
        envelope = self.envelope
        words = [f"MAIL FROM:<{envelope.reverse_path}>"]
        if session.has_extn("size"):
            words.append(f"SIZE={len(self.octets)}")
        if not self.octets.isascii():
            if not session.has_extn("8bitmime"):
                raise GatewayError(Reason.NEXT_HOP_EIGHT_BIT, "8BITMIME is not offered")
            words.append("BODY=8BITMIME")
        if envelope.smtputf8 and session.has_extn("smtputf8"):
            words.append("SMTPUTF8")
        elif _needs_utf8(envelope, self.octets):
            if not session.has_extn("smtputf8"):
                raise GatewayError(Reason.NEXT_HOP_SMTPUTF8, "SMTPUTF8 is not offered")
            words.append("SMTPUTF8")
        if session.has_extn("dsn"):
            words += [f"RET={envelope.ret}"] if envelope.ret else []
            words += [f"ENVID={envelope.envid}"] if envelope.envid else []
        return f"{' '.join(words)}\r\n".encode()


class _Probe:
    """MAIL, RCPT, RSET: would this recipient be taken?"""

    def __init__(self, reverse_path: str, recipient: str) -> None:
        _check_address(reverse_path)
        _check_address(recipient)
        self.reverse_path = reverse_path
        self.recipient = recipient
        self.repeatable = True
        self.clean = False

    def run(self, session: HopSession) -> HopReply:
        utf8 = not (self.reverse_path + self.recipient).isascii()
        if utf8 and not session.has_extn("smtputf8"):
            raise GatewayError(Reason.NEXT_HOP_SMTPUTF8, "SMTPUTF8 is not offered")
        mail = f"MAIL FROM:<{self.reverse_path}>{' SMTPUTF8' if utf8 else ''}\r\n".encode()
        commands = [mail, f"RCPT TO:<{self.recipient}>\r\n".encode(), b"RSET\r\n"]
        answers = _ask(session, commands, pipelined=session.has_extn("pipelining"))
        if answers[0].code == _CLOSING:
            raise SessionLostError(answers[0].text, dead=True)
        self.clean = _good(answers[-1]) and len(answers) == len(commands)
        reply = answers[0] if not _good(answers[0]) else answers[1]
        return HopReply(self.recipient, reply.code, reply.text)

    def lost(self, lost: SessionLostError) -> HopReply:
        return HopReply(self.recipient, 0, lost.detail)


def _ask(session: HopSession, commands: Sequence[bytes], *, pipelined: bool) -> list[Answer]:
    """The answers in order. Not pipelined, a refused first command is the last one sent."""
    answers: list[Answer] = []
    step = PIPELINED_MAX if pipelined else 1
    for start in range(0, len(commands), step):
        batch = commands[start:start + step]
        session.write(b"".join(batch))
        answers += [session.answer() for _ in batch]
        if answers[0].code == _CLOSING or (not pipelined and not _good(answers[0])):
            break
    return answers


def _rest(session: HopSession) -> bool:
    """RSET; whether the session may be used again."""
    try:
        [answer] = _ask(session, [b"RSET\r\n"], pipelined=False)
    except SessionLostError:
        return False
    return _good(answer)


def _rcpt(recipient: Recipient, session: HopSession) -> bytes:
    words = [f"RCPT TO:<{recipient.address}>"]
    if session.has_extn("dsn"):
        words += [f"NOTIFY={','.join(recipient.notify)}"] if recipient.notify else []
        words += [f"ORCPT={recipient.orcpt}"] if recipient.orcpt else []
    return f"{' '.join(words)}\r\n".encode()


def _good(answer: Answer) -> bool:
    return 200 <= answer.code < 300


def _needs_utf8(envelope: Envelope, octets: bytes) -> bool:
    """Addresses beyond ASCII always do; headers do where the client declared them so (others are plain 8-bit)."""
    if not all(one.isascii() for one in (envelope.reverse_path, *(r.address for r in envelope.recipients))):
        return True
    if not envelope.smtputf8:
        return False
    end = octets.find(b"\r\n\r\n")
    return not octets[:end if end >= 0 else len(octets)].isascii()


def _check_address(address: str) -> None:
    if _UNSAFE_ADDRESS.search(address):
        raise GatewayError(Reason.RECIPIENT_ADDRESS_REFUSED, "an address would break the command line")
