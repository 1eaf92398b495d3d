"""Postfix's side of the milter protocol, by the package miltertest: each callback alone, without a Postfix.

Behind it is the gateway's own connection, on a thread of this process, with a mail's way that tests choose.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from miltertest import MilterConnection, codec, constants

from gateway.clock import SystemClock
from gateway.frontends.clients import Clients
from gateway.frontends.milter.connection import serve
from gateway.frontends.milter.session import Shared, Take
from gateway.frontends.milter.session_limits import SessionLimits
from gateway.frontends.milter.transaction import Rules
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.settings import Milter
from tests.support.smtp import settings

CONTINUE, REJECT, TEMPFAIL, DISCARD, REPLY = (
    constants.SMFIR_CONTINUE, constants.SMFIR_REJECT, constants.SMFIR_TEMPFAIL, constants.SMFIR_DISCARD,
    constants.SMFIR_REPLYCODE)
Answer = tuple[str, dict[str, Any]]

# Octets as they are: the package itself knows UTF-8 alone.
codec.codectypes.update(
    buf=(lambda value: value.encode("utf-8", "surrogateescape"),
         lambda data: (data.decode("utf-8", "surrogateescape"), b"")),
    str=(lambda value: value.encode("utf-8", "surrogateescape") + b"\0", codec.decode_str),
)


def shared(handle: Callable[[Mail, Take], Outcome], **changes: Any) -> Shared:
    """What sessions share; `changes` are of the settings (see tests.support.smtp)."""
    values = settings(**changes)
    return Shared(
        values.milter or Milter(outbound_daemons=("ours",), inbound_daemons=("world",)),
        Rules(values.bank, values.limits, Clients(values.clients)), handle, SystemClock(),
        SessionLimits(values.limits.octets_in_flight_max, values.limits.workers_max,
             values.limits.messages_per_minute_per_client_max))


class Mta(MilterConnection):  # type: ignore[misc]
    """One connection, as Postfix makes it."""

    def begin(self, daemon: str = "ours", address: str = "127.0.0.1") -> None:
        """Up to MAIL."""
        self.optneg_mta(actions=constants.SMFI_V6_ACTS & ~constants.SMFIF_SETSYMLIST)  # it cannot read lists
        self.send_macro(constants.SMFIC_CONNECT, **{"{daemon_name}": daemon, "j": "mx.bank.test"})
        self._send(constants.SMFIC_CONNECT, hostname="client", family="4", port=25, address=address)
        if not self.protocol_flags & constants.SMFIP_NR_CONN:
            self.recv()

    def mail(self, *words: str, **macros: str) -> None:
        """MAIL, without waiting: so it was negotiated."""
        assert self.protocol_flags & constants.SMFIP_NR_MAIL
        self.send_macro(constants.SMFIC_MAIL, **{f"{{{name}}}": value for name, value in macros.items()})
        self._send(constants.SMFIC_MAIL, args=list(words or ("<a@bank.test>",)))

    def rejected(self, *words: str, **macros: str) -> tuple[str, str]:
        """MAIL that is rejected: code and text of the reply, which the first RCPT gets."""
        self.mail(*words, **macros)
        return reply(self.rcpt())

    def rcpt(self, *words: str, **macros: str) -> Answer:
        """RCPT."""
        self.send_macro(constants.SMFIC_RCPT, **{f"{{{name}}}": value for name, value in macros.items()})
        return self.send_get(constants.SMFIC_RCPT, args=list(words or ("<x@else.test>",)))  # type: ignore[no-any-return]

    def fields(self, *fields: tuple[str, str]) -> None:
        """Header fields, without waiting: so it was negotiated. Values begin with their space."""
        assert self.protocol_flags & constants.SMFIP_NR_HDR
        for name, value in fields:
            self._send(constants.SMFIC_HEADER, name=name, value=value)

    def chunk(self, octets: str) -> None:
        """A piece of the body, without waiting: so it was negotiated."""
        assert self.protocol_flags & constants.SMFIP_NR_BODY
        self._send(constants.SMFIC_BODY, buf=octets)

    def end(self, queue_id: str = "4F1A2B3C4D") -> list[Answer]:
        """The end of the message: every edit, and the answer last."""
        self.send_macro(constants.SMFIC_BODYEOB, i=queue_id)
        return self.send_eom()  # type: ignore[no-any-return]

    def abort(self) -> None:
        """RSET."""
        self._send(constants.SMFIC_ABORT)

    def whole(self, *fields: tuple[str, str], body: Sequence[str] = ("hello\r\n",),
              to: Sequence[str] = ("<x@else.test>",), queue_id: str = "4F1A2B3C4D") -> list[Answer]:
        """A mail of a client of ours, and what becomes of it."""
        self.mail()
        for one in to:
            assert self.rcpt(one)[0] == CONTINUE
        self.fields(*(fields or (("From", " a@bank.test"), ("Subject", " s"))))
        for piece in body:
            self.chunk(piece)
        return self.end(queue_id)


@contextmanager
def mta(values: Shared) -> Iterator[Mta]:
    """A connection to a session with `values`."""
    with postfix_side(values) as channel:
        yield Mta(channel)


@contextmanager
def postfix_side(values: Shared) -> Iterator[socket.socket]:
    """The octets themselves. Afterwards the gateway's thread has ended."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        channel = socket.create_connection(listening.getsockname(), timeout=10)
        thread = threading.Thread(target=serve, args=(listening.accept()[0], values))
        thread.start()
        with channel:
            yield channel
        thread.join(10)
        assert not thread.is_alive()


def reply(answer: Answer) -> tuple[str, str]:
    """Code and text of a reply."""
    command, fields = answer
    assert command == REPLY, answer
    return fields["smtpcode"], fields["text"]
