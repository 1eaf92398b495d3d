"""The services that mail is handed to (`end: {hand_to: NAME}`): each has its section of the settings, and a mailbox."""

from collections.abc import Callable
from typing import Final

from gateway.adapters.db.callbacks import DbCallbacks
from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.files.mac_secret import mac_secret
from gateway.app.codes.callbacks import filing
from gateway.app.letters import writer
from gateway.app.store import Store
from gateway.model.mail import GATEWAY_CLIENT, Mail
from gateway.model.mailbox import same_mailbox
from gateway.model.outcome import Outcome
from gateway.pipeline.inbound.service import MailService
from gateway.services.bounces import Bounces
from gateway.services.codes.alarm import Alarm
from gateway.services.codes.book import Book
from gateway.services.codes.events import EventSink
from gateway.services.codes.inbound import CodeMail
from gateway.services.statements.inbound import StatementMail
from gateway.services.verp import Verp
from gateway.settings import Codes, Settings, Statements

CODES: Final = "codes"
STATEMENTS: Final = "statements"


def returns_of(settings: Codes | Statements) -> Verp:
    """Who makes and reads a service's return paths and Message-IDs. KEY_UNAVAILABLE (retry), CONFIG_INVALID."""
    service = CODES if isinstance(settings, Codes) else STATEMENTS
    return Verp(service, settings.bounces or settings.from_, mac_secret(settings.secret_file))


def is_served(settings: Settings, address: str) -> bool:
    """Whether an address is a service's mailbox or one of its return paths: no mail server behind us knows it."""
    local, _, domain = address.rpartition("@")
    mailbox = f"{local.partition('+')[0]}@{domain}"
    return any(same_mailbox(one, mailbox) for one in settings.mailboxes.values())


def event_sink(settings: Settings, store: Store) -> EventSink:
    """Files the results of codes for the clients with a callback (docs/api-callbacks.md)."""
    return filing(settings, DbCallbacks(store.database))


def alarm_address(settings: Settings) -> str:
    """The address for reports of a customer's `not me`."""
    named = settings.codes.alarm_to if settings.codes is not None else ""
    return named or settings.bank.postmaster or f"postmaster@{settings.bank.domains[0]}"


def gateway_from(settings: Settings) -> tuple[str, ...]:
    """The From addresses of mail that the gateway itself writes to people: alarms, and invitations where so set."""
    codes, invite = settings.codes, settings.fallbacks.invite
    alarms = (codes.from_,) if codes is not None else ()
    return (*alarms, invite.from_) if invite is not None and invite.client == GATEWAY_CLIENT else alarms


def services(settings: Settings, store: Store, send: Callable[[Mail], Outcome], sink: EventSink
             ) -> dict[str, MailService]:
    """Those that have a mailbox. `send`: the outbound way, for alarms; `sink`: events for clients about their codes.

    GatewayError KEY_UNAVAILABLE (retry), CONFIG_INVALID.
    """
    found: dict[str, MailService] = {}
    codes, statements = settings.codes, settings.statements
    if codes is not None and codes.bounces:
        returns = returns_of(codes)
        letters = writer(settings, codes.templates, settings.language_of(codes))
        alarm = Alarm(codes.from_, alarm_address(settings), letters, returns, send)
        found[CODES] = CodeMail(Book(store.codes, sink), returns, store.customers.by_certificate, alarm)
    if statements is not None and statements.bounces:
        found[STATEMENTS] = StatementMail(Bounces(statement_store(store.database).results, returns_of(statements)))
    return found
