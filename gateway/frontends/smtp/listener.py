"""Shares between all connections of one listener: its identity, the limits, the threads and the mail's handler.

Limits on connections, octets and threads are counted for each role of listener, so that strangers cannot use up the
capacity for the bank's own mail.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.frontends.clients import Clients, among
from gateway.frontends.limits import Admission, Octets, Rate
from gateway.frontends.login_pauses import LoginPauses
from gateway.frontends.smtp.threads import Workers
from gateway.model.mail import Mail
from gateway.model.mailbox import in_domains
from gateway.model.outcome import Outcome
from gateway.ports.next_hop import HopReply
from gateway.settings import Bank, Limits, Listener


@dataclass(frozen=True, slots=True)
class Shared:
    """`admission` and `octets` are of all listeners of one role, the others of the whole process.

    `logins` and `probes` have threads of their own: argon2 is slow by design, and a recipient must not wait behind
    the mails of others.
    """

    admission: Admission
    rate: Rate
    octets: Octets
    logins: Workers
    login_pauses: LoginPauses
    probes: Workers


@dataclass(frozen=True, slots=True)
class ListenerContext:
    """Of one listener. `handle` is the mail's whole way, synchronous; it may take long and raises GatewayError only.

    `probe`: (reverse-path, recipient) -> the next hop's answer; None: recipients are not checked.
    `verify`: (login, password) -> whether they match; None: no client can log in.
    """

    bank: Bank
    listener: Listener
    limits: Limits
    clients: Clients
    shared: Shared
    workers: Workers
    handle: Callable[[Mail], Outcome]
    probe: Callable[[str, str], HopReply] | None
    verify: Callable[[str, str], bool] | None
    clock: Clock
    tls: ssl.SSLContext | None

    @property
    def outbound(self) -> bool:
        """Whether clients here are the bank's own. On an inbound listener none is, in any network.

        A filter in front of the gateway hands in the internet's mail from the bank's own network.
        """
        return self.listener.role == "outbound"

    @property
    def logins_possible(self) -> bool:
        """Whether AUTH makes sense here; it is offered only under TLS."""
        return self.outbound and self.verify is not None and self.tls is not None and self.clients.has_logins

    def knows(self, peer: str) -> bool:
        """Whether a place is reserved for this peer: a client's network, or a mail server that the listener names."""
        listener = self.listener
        if among(peer, (*listener.xforward_peers, *listener.xclient_peers, *listener.trusted_peers)):
            return True
        return self.outbound and self.clients.by_peer(peer) is not None

    def owns(self, address: str) -> bool:
        """Whether the address is in one of the bank's mail domains."""
        return in_domains(address, self.bank.domains)
