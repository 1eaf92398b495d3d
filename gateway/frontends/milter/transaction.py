"""One mail as Postfix reports it to a milter: envelope, header, body, and who sent it.

Postfix has read the SMTP dialogue; what it hands on is read again here as strictly as the relay's own front end does.
The octets are put together as in Postfix's queue: fields as `name:value`, line ends as CR LF.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.frontends.clients import Clients, may_use
from gateway.frontends.smtp.data import LINE_OCTETS_MAX
from gateway.frontends.smtp.orcpt import canonical
from gateway.frontends.smtp.paths import ENVID_CHARS_MAX, MailCommand, RcptCommand, is_xtext, parse_mail, parse_rcpt
from gateway.mime.header import FIELDS_MAX
from gateway.model.address import fold
from gateway.model.mail import Direction, Envelope, Mail, Origin, Recipient, direction
from gateway.model.mailbox import in_domains
from gateway.model.wire import ends_in_pairs, longest_line_within
from gateway.settings import MILTER, Bank, Client, Limits

_MAIL_PARAMETERS: Final = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"})
_RCPT_PARAMETERS: Final = frozenset({"NOTIFY", "ORCPT"})


@dataclass(frozen=True, slots=True)
class Peer:
    """Who speaks to Postfix. `ours`: it came by a door of the bank's own (an outbound daemon)."""

    ours: bool
    address: str = ""
    tls: bool = False
    login: str | None = None
    client: Client | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What every mail is held against."""

    bank: Bank
    limits: Limits
    clients: Clients
    observing: bool = False  # no client is rejected: the result is recorded, and Postfix continues unchanged

    def client(self, address: str, login: str | None) -> Client | None:
        """By login, else by network. Postfix sends a milter no fingerprint of a certificate."""
        known = self.clients.by_login(login) if login else None
        return known or self.clients.by_peer(address)

    def owns(self, address: str) -> bool:
        """Whether the address is in one of the bank's mail domains."""
        return in_domains(address, self.bank.domains)


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of the message. `refused`: why the mail cannot go, found where no answer was possible.

    `contradictory`: a recipient was named more than once, with another NOTIFY (RFC 3461 4.1). Postfix delivers to each
    of them and reports as each says, so the mail must not be left to it.
    """

    peer: Peer
    sender: MailCommand
    incident: str = field(default_factory=lambda: secrets.token_hex(8))
    recipients: dict[str, Recipient] = field(default_factory=dict)
    fields: list[tuple[str, bytes]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    refused: GatewayError | None = None
    contradictory: bool = False

    @classmethod
    def begin(cls, rules: Rules, peer: Peer, words: Sequence[str], resolved: str) -> "Transaction":
        """At MAIL. `resolved`: the address as Postfix completed it.

        RefusedCommandError, or GatewayError CLIENT_UNKNOWN, CLIENT_FROM_NOT_ALLOWED, MAIL_TOO_LARGE, …
        """
        if peer.ours and peer.client is None and not rules.observing:
            raise GatewayError(Reason.CLIENT_UNKNOWN, f"no network or login of a client: {peer.address}")
        command = parse_mail(f"FROM:{_path(words[0], resolved)}{_parameters(words[1:], _MAIL_PARAMETERS)}")
        if command.path.source_route:
            raise GatewayError(Reason.RECIPIENT_ADDRESS_REFUSED, "source route in the reverse-path")
        if peer.client is not None and not may_use(peer.client, command.path.address):
            raise GatewayError(Reason.CLIENT_FROM_NOT_ALLOWED, f"{peer.client.name} as {command.path.address}")
        if command.size is not None and command.size > rules.limits.message_octets_max:
            raise GatewayError(Reason.MAIL_TOO_LARGE, f"declared {command.size} octets")
        return cls(peer, command)

    def recipient(self, rules: Rules, words: Sequence[str], resolved: str) -> None:
        """At RCPT. As `begin`; RECIPIENT_NOT_OURS from a stranger for strangers."""
        command: RcptCommand = parse_rcpt(
            f"TO:{_path(words[0], resolved)}{_parameters(words[1:], _RCPT_PARAMETERS)}", smtputf8=True,
            postmaster_domain=rules.bank.domains[0])
        address = command.path.address
        ours = rules.owns(address)
        way = direction(client_is_ours=self.peer.ours, recipient_is_ours=ours)
        if command.path.source_route or (command.path.routes and (ours or way is Direction.FOREIGN)):
            raise GatewayError(Reason.RECIPIENT_ADDRESS_REFUSED, f"{address} could mean another mailbox")
        if way is Direction.FOREIGN:
            raise GatewayError(Reason.RECIPIENT_NOT_OURS, f"{address} for a stranger")
        if len(self.recipients) >= rules.limits.recipients_max:
            raise GatewayError(Reason.RECIPIENT_TOO_MANY, "recipients of one transaction", retry=True)
        local, _, domain = address.rpartition("@")
        first = self.recipients.setdefault(f"{local}@{fold(domain)}", command.recipient())
        self.contradictory |= set(first.notify) != set(command.notify)

    def header(self, rules: Rules, name: str, value: bytes) -> None:
        """One field; `value` begins right behind the colon, its lines are parted by LF."""
        if self.refused is not None:
            return
        raw = b"%s:%s\r\n" % (name.encode("utf-8", "surrogateescape"), value.replace(b"\n", b"\r\n"))
        if len(self.fields) >= FIELDS_MAX:
            self.refuse(GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {FIELDS_MAX} header fields"))
            return
        self.fields.append((name, raw))
        self._grow(rules, len(raw))

    def body(self, rules: Rules, chunk: bytes) -> None:
        """The next octets of the body."""
        self.chunks.append(chunk)
        self._grow(rules, len(chunk))

    def _grow(self, rules: Rules, octets: int) -> None:
        self.size += octets
        if self.size > rules.limits.message_octets_max:
            self.refuse(GatewayError(Reason.MAIL_TOO_LARGE, f"more than {rules.limits.message_octets_max} octets"))

    def refuse(self, trouble: GatewayError) -> None:
        """The answer at the end of the message. Nothing more is kept of it."""
        self.refused = trouble
        self.fields.clear()
        self.chunks.clear()

    def mail(self, rules: Rules, at: datetime, queue_id: str) -> Mail:
        """The whole mail; the body's chunks are used up. GatewayError: MAIL_BARE_NEWLINE, MAIL_NUL, MAIL_LOOP, …"""
        if self.refused is not None:
            raise self.refused
        hops = sum(1 for name, _ in self.fields if name.lower() == "received")
        if hops > rules.limits.hops_max:
            raise GatewayError(Reason.MAIL_LOOP, f"{hops} Received fields")
        octets = b"".join((*(raw for _, raw in self.fields), b"\r\n", *self.chunks))
        self.chunks.clear()
        if len(octets) > rules.limits.message_octets_max:
            raise GatewayError(Reason.MAIL_TOO_LARGE, f"more than {rules.limits.message_octets_max} octets")
        if b"\0" in octets:
            raise GatewayError(Reason.MAIL_NUL, "NUL")
        if not ends_in_pairs(octets):
            raise GatewayError(Reason.MAIL_BARE_NEWLINE, "bare CR or LF")
        if not longest_line_within(octets, LINE_OCTETS_MAX):
            raise GatewayError(Reason.MAIL_LINE_TOO_LONG, f"a line of more than {LINE_OCTETS_MAX} octets")
        return Mail(octets, self.envelope, self.origin(rules, at, queue_id))

    @property
    def envelope(self) -> Envelope:
        """As far as it is known."""
        sender = self.sender
        return Envelope(sender.path.address, tuple(self.recipients.values()), sender.smtputf8, sender.eight_bit,
                        sender.ret, sender.envid)

    def origin(self, rules: Rules, at: datetime, queue_id: str) -> Origin:
        """`queue_id`: Postfix's, of this attempt."""
        peer = self.peer
        return Origin(
            ours=peer.ours, client=peer.client.name if peer.client else None, received_at=at, incident=self.incident,
            listener=MILTER, peer=peer.address, tls=peer.tls, login=peer.login, attempt_id=queue_id or None,
            deadline_at=at + timedelta(seconds=rules.limits.message_deadline_s))


def _path(word: str, resolved: str) -> str:
    """`<address>`. Where the client wrote none with a domain, what Postfix makes of it (append_at_myorigin)."""
    inside = word.strip()
    if inside.startswith("<") and inside.endswith(">"):
        inside = inside[1:-1]
    if inside and resolved.startswith(f"{inside}@"):
        inside = resolved
    return f"<{inside}>"


def _parameters(words: Sequence[str], known: frozenset[str]) -> str:
    """Those that mean something to us; what else Postfix took from its client is its own business.

    So is an ORCPT or ENVID of a form that only Postfix takes (RFC 3461 4.2, 4.4): no reason to refuse the mail.
    """
    return "".join(f" {word}" for word in words
                   if (name := word.partition("=")[0].upper()) in known and _is_readable(name, word[len(name) + 1:]))


def _is_readable(name: str, value: str) -> bool:
    if name == "ORCPT":
        return canonical(value, smtputf8=True) is not None
    return name != "ENVID" or is_xtext(value, ENVID_CHARS_MAX)
