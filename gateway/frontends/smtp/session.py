# ruff: noqa: N802 - aiosmtpd finds commands by methods of this name
"""The SMTP commands of the relay: from HELO to the reply after the final dot.

RFC 5321; extensions SIZE (1870), PIPELINING (2920), 8BITMIME (6152), SMTPUTF8 (6531), DSN (3461), STARTTLS (3207),
AUTH (4954), ENHANCEDSTATUSCODES (2034). Who may do what:

1. An outbound listener serves the bank's clients only: known by login, else TLS certificate, else network. Each
   uses its own sender addresses; the null reverse-path is everybody's.
2. An inbound listener serves any client, for the bank's domains only. No client there is the bank's own.
3. A recipient whose address could mean another mailbox behind us (@ % ! in the local part, source route, address
   literal) is refused wherever it is ours.
4. 8-bit headers without SMTPUTF8 are taken, as Postfix does: what follows treats them as octets.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.clients import among, may_use
from gateway.frontends.limits import GROW_OCTETS, Reservation, client_key
from gateway.frontends.smtp import auth, dialogue
from gateway.frontends.smtp.connection import Connection
from gateway.frontends.smtp.data import Checks, Collector, Trace
from gateway.frontends.smtp.delivery import Delivery, Received
from gateway.frontends.smtp.identity import Identified
from gateway.frontends.smtp.listener import ListenerContext
from gateway.frontends.smtp.paths import MailCommand, parse_mail, parse_rcpt
from gateway.model.address import fold
from gateway.model.mail import Direction, Envelope, Origin, Recipient, direction
from gateway.ports.next_hop import HopReply

log = structlog.get_logger("sealgate.smtp")

# How long a mail waits for its turn when too many octets are in work, before 354.
TURN_TIMEOUT_S = 30.0
AUTH_FAILURES_MAX = 3


class Relay(Identified):
    """One client's session."""

    no_recipients = dialogue.NO_RECIPIENTS
    helo_first = dialogue.HELO_FIRST

    def __init__(self, front: ListenerContext, loop: asyncio.AbstractEventLoop,
                 over: Callable[[Connection], None]) -> None:
        """See Connection."""
        super().__init__(front, loop, over)
        self.forget()

    def forget(self) -> None:
        """See Identified; also after STARTTLS."""
        super().forget()
        self.helo = ""
        self.extended = False
        self.auth_failures = 0
        self._collector: Collector | None = None
        self._data: asyncio.Future[None] | None = None
        self._delivery: Delivery | None = None
        self._reset()

    def _reset(self) -> None:
        self.sender: MailCommand | None = None
        self.recipients: dict[str, Recipient] = {}
        self.accepted: list[str] = []
        self.incident = ""
        self.mail_over()

    @property
    def answers(self) -> tuple[str, ...]:
        """The recipients to be answered for after the final dot, one by one; () where one answer is for all."""
        return ()

    @property
    def idle(self) -> bool:
        """See Connection: no mail is being received or worked on."""
        return self._data is None and self._delivery is None

    # The session

    async def smtp_HELO(self, argument: str) -> None:
        """RFC 5321 4.1.1.1."""
        if not argument:
            self.say(dialogue.SYNTAX_HELO)
            return
        self._reset()
        self.greeted()
        self.helo, self.extended = argument, False
        self.say(f"250 {self.hostname}\r\n".encode())

    async def smtp_EHLO(self, argument: str) -> None:
        """RFC 5321 4.1.1.1; what is offered here is what the other methods do."""
        if not argument:
            self.say(dialogue.SYNTAX_HELO)
            return
        self._reset()
        self.greeted()
        self.helo, self.extended = argument, True
        lines = self.offered()
        text = "".join(f"250-{line}\r\n" for line in lines)
        self.say(f"{text}250 ENHANCEDSTATUSCODES\r\n".encode())

    def offered(self) -> list[str]:
        """Our name and the extensions, but for the last."""
        lines = [self.hostname, f"SIZE {self.front.limits.message_octets_max}", "8BITMIME", "SMTPUTF8", "PIPELINING",
                 "DSN"]
        if self.front.tls is not None and self.front.listener.tls == "starttls" and not self.secure:
            lines.append("STARTTLS")
        if self.front.logins_possible and self.secure:
            lines.append(f"AUTH {' '.join(auth.MECHANISMS)}")
        return lines + self.naming()

    async def smtp_STARTTLS(self, argument: str) -> None:
        """RFC 3207."""
        context = self.front.tls
        if argument:
            self.say(dialogue.NO_ARGUMENT)
        elif self.secure:
            self.say(dialogue.TLS_ACTIVE)
        elif context is None or self.front.listener.tls != "starttls":
            self.say(dialogue.TLS_NOT_OFFERED)
        else:
            await self.start_tls(context)

    async def smtp_AUTH(self, argument: str) -> None:
        """RFC 4954."""
        words = argument.split()
        mechanism = words[0].upper() if words else ""
        if not self.front.logins_possible or not self.extended:
            self.say(dialogue.AUTH_NOT_OFFERED)
        elif not self.secure:
            self.say(dialogue.AUTH_NEEDS_TLS)
        elif self.login is not None:
            self.say(dialogue.AUTH_TWICE)
        elif self.sender is not None:
            self.say(dialogue.NESTED_MAIL)
        elif not 0 < len(words) <= len(("mechanism", "initial-response")):
            self.say(dialogue.SYNTAX_AUTH)
        elif mechanism not in auth.MECHANISMS:
            self.say(dialogue.AUTH_UNKNOWN)
        else:
            given = await auth.credentials(self, mechanism, words[1] if len(words) > 1 else "")
            await self._log_in(given)

    async def _log_in(self, given: auth.Credentials) -> None:
        client, pauses = self.front.clients.by_login(given.login), self.front.shared.login_pauses
        source, at_home = client_key(self.apparent), client is not None and among(self.apparent, client.networks)
        wait_s = 0.0 if at_home else pauses.wait_s(source, given.login)
        if wait_s:  # the reply is the one for a check that is not possible now: a guess is not worth a word
            self.refusal(GatewayError(Reason.CLIENT_RATE_EXCEEDED, f"login tries: none for {wait_s:.0f} s", retry=True))
            self.say(dialogue.AUTH_LATER)
            return
        try:
            good = await auth.verified(self, given)
        except GatewayError as trouble:
            if not trouble.retry:
                raise
            log.warning("session.login_not_checked", reason=str(trouble.reason), detail=trouble.detail, peer=self.peer)
            self.say(dialogue.AUTH_LATER)
            return
        if good and client is not None:
            pauses.succeeded(source, given.login)
            self.login, self.login_client = given.login, client
            self.say(dialogue.AUTH_OK)
            return
        if not at_home:
            pauses.failed(source, given.login)
        await asyncio.sleep(auth.FAILURE_DELAY_S)
        self.auth_failures += 1
        self.ending = self.auth_failures >= AUTH_FAILURES_MAX
        raise GatewayError(Reason.CLIENT_AUTH_FAILED, "wrong password" if client else "no client has this login")

    async def smtp_NOOP(self, argument: str) -> None:
        """RFC 5321 4.1.1.9."""
        del argument
        self.say(dialogue.OK)

    async def smtp_RSET(self, argument: str) -> None:
        """RFC 5321 4.1.1.5."""
        if argument:
            self.say(dialogue.NO_ARGUMENT)
            return
        self._reset()
        self.say(dialogue.OK)

    async def smtp_QUIT(self, argument: str) -> None:
        """RFC 5321 4.1.1.10."""
        if argument:
            self.say(dialogue.NO_ARGUMENT)
            return
        self.say(dialogue.BYE)
        self.ending = True

    async def smtp_VRFY(self, argument: str) -> None:
        """RFC 5321 3.5.3: an answer that reveals nothing."""
        del argument
        self.say(dialogue.CANNOT_VERIFY)

    async def smtp_EXPN(self, argument: str) -> None:
        """Not here (RFC 5321 7.3)."""
        del argument
        self.say(dialogue.NOT_IMPLEMENTED)

    async def smtp_HELP(self, argument: str) -> None:
        """RFC 5321 4.1.1.8."""
        del argument
        self.say(dialogue.HELP)

    # The transaction

    async def smtp_MAIL(self, argument: str) -> None:
        """RFC 5321 4.1.1.2; rule 1 of the module."""
        if not self.helo:
            self.say(self.helo_first)
            return
        if self.sender is not None:
            self.say(dialogue.NESTED_MAIL)
            return
        self.spent = True
        front = self.front
        if front.listener.tls_required and not self.secure:
            raise GatewayError(Reason.CLIENT_TLS_REQUIRED, "MAIL before STARTTLS")
        client = self.client
        if front.outbound and client is None:
            reason = Reason.CLIENT_AUTH_REQUIRED if front.logins_possible else Reason.CLIENT_UNKNOWN
            raise GatewayError(reason, "no network, certificate or login of a client")
        command = parse_mail(argument)
        if client is not None and not may_use(client, command.path.address):
            raise GatewayError(Reason.CLIENT_FROM_NOT_ALLOWED, f"{client.name} as {command.path.address}")
        if command.path.source_route:
            raise GatewayError(Reason.RECIPIENT_ADDRESS_REFUSED, "source route in the reverse-path")
        if command.size is not None and command.size > front.limits.message_octets_max:
            raise GatewayError(Reason.MAIL_TOO_LARGE, f"declared {command.size} octets")
        if not front.shared.rate.allow(client.name if client is not None else self.apparent):
            raise GatewayError(Reason.CLIENT_RATE_EXCEEDED, "messages per minute", retry=True)
        self.sender, self.incident = command, secrets.token_hex(8)
        self.say(dialogue.SENDER_OK)

    async def smtp_RCPT(self, argument: str) -> None:
        """RFC 5321 4.1.1.3; rules 2 and 3 of the module."""
        if self.sender is None:
            self.say(dialogue.MAIL_FIRST)
            return
        command = parse_rcpt(argument, smtputf8=self.sender.smtputf8, postmaster_domain=self.front.bank.domains[0])
        address = command.path.address
        ours = self.front.owns(address)
        way = direction(client_is_ours=self.client is not None, recipient_is_ours=ours)
        if command.path.source_route or (command.path.routes and (ours or way is Direction.FOREIGN)):
            raise GatewayError(Reason.RECIPIENT_ADDRESS_REFUSED, f"{address} could mean another mailbox")
        if way is Direction.FOREIGN:
            raise GatewayError(Reason.RECIPIENT_NOT_OURS, f"{address} for a stranger")
        if len(self.recipients) >= self.front.limits.recipients_max:
            raise GatewayError(Reason.RECIPIENT_TOO_MANY, "recipients of one transaction", retry=True)
        if ours and self.front.probe is not None and self.front.listener.recipient_check == "next_hop":
            await self._ask_next_hop(self.front.probe, self.sender.path.address, address)
        local, _, domain = address.rpartition("@")
        key = f"{local}@{fold(domain)}"
        self.accepted.append(self.recipients.setdefault(key, command.recipient()).address)
        self.say(dialogue.RECIPIENT_OK)

    async def _ask_next_hop(self, probe: Callable[[str, str], HopReply], sender: str, address: str) -> None:
        """Its refusal is ours, its trouble is 451: never a guess."""
        job = self.front.shared.probes.submit(lambda: probe(sender, address))
        try:
            answer = await asyncio.shield(job.done)
        finally:
            job.withdraw()
        if answer.permanent:
            raise GatewayError(Reason.RECIPIENT_UNKNOWN, f"{address}: {answer.code} {answer.text}")
        if not answer.taken:
            raise GatewayError(Reason.RECIPIENT_UNKNOWN, f"{address}: {answer.code} {answer.text}", retry=True)

    async def smtp_DATA(self, argument: str) -> None:
        """RFC 5321 4.1.1.4, read in bulk."""
        if argument:
            self.say(dialogue.NO_ARGUMENT)
            return
        sender = self.sender
        if sender is None:
            self.say(dialogue.MAIL_FIRST)
            return
        if not self.recipients:
            self.say(self.no_recipients)
            # A client that sends its mail without waiting would have it read as commands.
            self.ending = self.pending_input
            return
        # What was announced costs a stranger nothing; what has arrived counts (see Reservation.cover).
        if not await self.front.shared.octets.take(GROW_OCTETS, TURN_TIMEOUT_S, self.peer):
            raise GatewayError(Reason.CLIENT_BUSY, "octets in work", retry=True)
        reservation = Reservation(self.front.shared.octets, GROW_OCTETS, self.peer)
        try:
            delivery = await self._receive(sender, reservation)
            if delivery is None:
                self.ending = True
                return
            delivery.start()
        except GatewayError as trouble:
            reservation.release()
            self.say(self.refusal(trouble) * max(1, len(self.answers)), counts=False)
            self._reset()
            return
        except BaseException:
            reservation.release()
            raise
        finally:
            self._data = self._collector = None
        self._delivery = delivery
        try:
            # The client may be silent while we work; its own time-out counts now (RFC 5321 4.5.3.2.6).
            self.hold_timeout(2 * self.front.limits.message_deadline_s + self.front.limits.command_timeout_s)
            reply = await delivery.reply()
            self.say(reply, counts=False)
            if reply.startswith(b"2"):
                self.errors = 0
        finally:
            self._delivery = None
            self._reset()
        self.hold_timeout(self.front.limits.command_timeout_s)

    async def _receive(self, sender: MailCommand, reservation: Reservation) -> Delivery | None:
        """Reads the mail; None if the client broke off. GatewayError if it was too much."""
        if self.pending_input:  # RFC 2920 3.1: DATA is the last command of a group
            self.say(dialogue.TOO_EARLY)
            reservation.release()
            return None
        self._data = asyncio.get_running_loop().create_future()
        collector = Collector(self.front.limits.message_octets_max, reservation.cover, self._data)
        self._collector = collector
        self.say(dialogue.START_DATA)
        self.hold_timeout(self.front.limits.data_timeout_s)
        await self.flush()
        await self._data
        if self.gone and self._collector is not None:
            reservation.release()
            return None
        if collector.refused is not None:
            raise GatewayError(collector.refused, f"from {sender.path.address} while being received",
                               retry=collector.refused is not Reason.MAIL_TOO_LARGE)
        return Delivery(self.front, self._received(sender), collector.take(), reservation)

    def _received(self, sender: MailCommand) -> Received:
        front, client = self.front, self.client
        at = front.clock.now()
        recipients = tuple(self.recipients.values())
        envelope = Envelope(sender.path.address, recipients, sender.smtputf8, sender.eight_bit, sender.ret,
                            sender.envid)
        origin = Origin(ours=client is not None, client=client.name if client else None, received_at=at,
                        incident=self.incident, listener=front.listener.name, peer=self.apparent, helo=self.helo,
                        tls=self.secure, login=self.login, queue_id=self.queue_id, forwarded=self.forwarded_address,
                        deadline_at=at + timedelta(seconds=front.limits.message_deadline_s),
                        answers_each=bool(self.answers))
        trace = Trace(self.helo, self.apparent, self.hostname, self.incident, at, self.extended, self.secure,
                      self.login is not None, sender.smtputf8, recipients[0].address if len(recipients) == 1 else None,
                      self.protocol)
        checks = Checks(front.limits.message_octets_max, front.limits.hops_max,
                        client is not None and client.normalise_newlines)
        return Received(envelope, origin, trace, checks, permitted=client is not None, answers=self.answers)

    # The transport's life

    def data_received(self, data: bytes) -> None:
        """A mail's octets pass the stream reader by; what follows its end are commands again (RFC 2920 3.1)."""
        if self._collector is None:
            super().data_received(data)
            return
        after = self._collector.feed(data)
        if after is not None:
            self._collector = None
            if after:
                super().data_received(after)

    def _left(self) -> None:
        super()._left()
        if self._data is not None and not self._data.done():
            self._data.set_result(None)
        if self._delivery is not None:
            self._delivery.withdraw()
