# ruff: noqa: N802 - aiosmtpd finds commands by methods of this name
"""The identity of a session's client: what it showed itself, or what a listed mail server in front states about it.

1. On an inbound listener no client is one of the bank's own.
2. XFORWARD (of `xforward_peers`) names the client of one mail: then its address alone decides, in the clients'
   networks, and neither login, certificate nor address of the peer: a mail server that carries others' mail lends
   them nothing of its own. Mail without an address, which the peer wrote itself, is the peer's.
   What is believed of results (`trusted_peers`) and what Received says is still about the peer.
3. XCLIENT (of `xclient_peers`) makes the session that of the client: its address in place of the peer's for
   everything, its login as if it had logged in here. A second XCLIENT after a greeting is about another client, which
   keeps of the one before only the values that are not tied to its address.
4. A command of such a peer that was not understood leaves a client without identity: Postfix, for one, goes on after
   it, and the client must not become the mail server because its name could not be read.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.clients import among
from gateway.frontends.smtp import dialogue
from gateway.frontends.smtp.connection import Connection
from gateway.frontends.smtp.forwarded import NOBODY, XCLIENT, XFORWARD, Forwarded, parse
from gateway.frontends.smtp.listener import ListenerContext
from gateway.frontends.smtp.paths import MailCommand, RefusedCommandError
from gateway.settings import Client

log = structlog.get_logger("sealgate.smtp")

class Identified(Connection):
    """The part of a session that knows its client."""

    def __init__(self, front: ListenerContext, loop: asyncio.AbstractEventLoop,
                 over: Callable[[Connection], None]) -> None:
        """See Connection."""
        super().__init__(front, loop, over)
        self.named: Forwarded | None = None
        self.forwarded: Forwarded | None = None
        self.spent = False
        self._greeted = False
        self.helo = ""
        self.extended = False
        self.sender: MailCommand | None = None
        self.login: str | None = None
        self.login_client: Client | None = None
        self._client: Client | None = None
        self._client_known = False

    def forget(self) -> None:
        """As if the client had just connected; whom XCLIENT made of it, it stays."""
        self.login = self.named.login or None if self.named is not None else None
        self.login_client = self.front.clients.by_login(self.login) if self.login is not None else None
        self._client_known = False

    @property
    def client(self) -> Client | None:
        """The bank's client on the other side, None for a stranger."""
        front = self.front
        if not front.outbound:
            return None
        if self.forwarded is not None and self.forwarded.tells:
            return front.clients.by_peer(self.forwarded.address or "") if self.forwarded.understood else None
        if self.login_client is not None:
            return self.login_client
        if not self._client_known:
            tls = self.tls_object if self.named is None else None
            by_certificate = front.clients.by_certificate(tls.getpeercert(binary_form=True)) if tls else None
            self._client = by_certificate or front.clients.by_peer(self.apparent)
            self._client_known = True
        return self._client

    @property
    def apparent(self) -> str:
        """The client's IP address: the peer's, or what XCLIENT put in its place; '' if that is not known."""
        return self.peer if self.named is None or self.named.address is None else self.named.address

    def greeted(self) -> None:
        """The client sent HELO, EHLO or LHLO."""
        self._greeted = True

    def mail_over(self) -> None:
        """The mail is over, or there is none: the values of its XFORWARD no longer count."""
        self.forwarded = None
        self.spent = False

    @property
    def queue_id(self) -> str | None:
        """The queue id in front of us."""
        return self.forwarded.ident or None if self.forwarded is not None else None

    @property
    def forwarded_address(self) -> str:
        """For the log line."""
        return self.forwarded.address or "" if self.forwarded is not None else ""

    @property
    def permitted(self) -> bool:
        """See Connection."""
        return self.client is not None

    def naming(self) -> list[str]:
        """What is offered to this peer besides."""
        listener = self.front.listener
        return [
            *([f"XFORWARD {' '.join(XFORWARD)}"] if among(self.peer, listener.xforward_peers) else []),
            *([f"XCLIENT {' '.join(XCLIENT)}"] if among(self.peer, listener.xclient_peers) else []),
        ]

    async def smtp_XFORWARD(self, argument: str) -> None:
        """Rule 2; holds until the mail is over (RSET, a greeting, its final dot), or until MAIL was refused and the

        peer begins again. In several commands, as Postfix sends it.
        """
        self._may_name("xforward", self.front.listener.xforward_peers)
        before = None if self.spent else self.forwarded
        self.spent = False
        try:
            self.forwarded = parse(argument, XFORWARD, before)
        except RefusedCommandError:
            self.forwarded = NOBODY
            raise
        if before is not None and not before.understood:
            self.forwarded = NOBODY
        self.say(dialogue.OK)

    async def smtp_XCLIENT(self, argument: str) -> None:
        """Rule 3: the dialogue begins again, with 220."""
        self._may_name("xclient", self.front.listener.xclient_peers)
        before = self.named
        if before is not None and self._greeted:
            before = Forwarded(address=before.address)
        self._greeted = False
        try:
            self.named = parse(argument, XCLIENT, before)
        except RefusedCommandError:
            self.named = Forwarded(address="")
            self.forget()
            raise
        self.forget()
        self.helo = self.named.helo or ""
        self.extended = self.named.protocol == "ESMTP"
        self.greet()

    def not_understood(self) -> None:
        """Rule 4."""
        if self.sender is None and among(self.peer, self.front.listener.xforward_peers):
            self.forwarded = NOBODY

    def _may_name(self, what: str, peers: tuple[str, ...]) -> None:
        """Only who is listed, only over TLS where that is asked of everybody, and not within a mail."""
        if not peers:  # a listener without such peers does not know the command
            raise RefusedCommandError(dialogue.UNKNOWN_COMMAND)
        if not among(self.peer, peers):
            log.warning("session.rejected", command=what, peer=self.peer, listener=self.front.listener.name)
            raise RefusedCommandError(dialogue.NOT_AUTHORISED)
        if self.sender is not None:
            raise RefusedCommandError(dialogue.NESTED_MAIL)
        if self.front.listener.tls_required and not self.secure:
            raise GatewayError(Reason.CLIENT_TLS_REQUIRED, f"{what} before STARTTLS")
