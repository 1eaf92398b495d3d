"""Codes over the demo's bank: real rules, keys, certificates and database; the next hop says what a test wants."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from gateway.adapters.db.tables.codes import blocked_customer, code
from gateway.app.codes.service import load_codes
from gateway.clock import SystemClock
from gateway.demo import openssl
from gateway.model.lookup import Customer
from gateway.services.codes.book import Book
from gateway.services.codes.events import CodeEvent
from gateway.services.codes.issue_and_verify import Codes
from gateway.services.codes.order import Order
from gateway.services.codes.transaction import Money, Payee, Payment
from gateway.settings import Settings
from tests.support.bank import Context, context
from tests.support.codes import code_in

CLIENT = "online-banking"
PAID = Payment(Money.of("1234.50", "EUR"), Payee.of("Stadtwerke Köln", "DE89 3704 0044 0532 0130 00"))


@dataclass
class LateClock:
    """The machine's, some time later."""

    late: timedelta = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() + self.late


@dataclass
class Office:
    """The codes, what was told, and the customers' mailboxes."""

    context: Context
    codes: Codes
    book: Book
    clock: LateClock
    events: list[CodeEvent] = field(default_factory=list)

    def told(self, events: Sequence[CodeEvent]) -> None:
        """See services.codes.events.EventSink."""
        self.events += events

    @property
    def kinds(self) -> list[str]:
        """Of the events so far."""
        return [one.kind for one in self.events]

    def order(self, **changed: object) -> Order:
        """A payment of Anna's."""
        values = {"customer": "10001", "purpose": "payment", "transaction": PAID, "reference": "order-7"}
        return Order(**(values | changed))  # type: ignore[arg-type]

    def mails(self) -> list[bytes]:
        """What Anna reads, opened and verified by openssl, the oldest first."""
        anna, root = self.context.bank.people["anna"], self.context.bank.home / "pki" / "root.pem"
        return [openssl.verify(openssl.decrypt(octets, anna), root)
                for to, octets, _ in self.context.outbound.taken if anna.address in to]

    def code(self) -> str:
        """Out of her newest mail."""
        return code_in(self.mails()[-1])


@pytest.fixture(scope="package")
def one_bank(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """With a mailbox for what comes back; the rules are those of the distribution. Opening it is what takes time."""
    def change(settings: Settings) -> Settings:
        assert settings.codes is not None
        codes = settings.codes.model_copy(update={"bounces": "codes@bank.example"})
        return settings.model_copy(update={"codes": codes})

    home = Path(shutil.copytree(template, tmp_path_factory.mktemp("codes") / "home"))
    with context(home, change) as built:
        yield built


@pytest.fixture
def bank(one_bank: Context) -> Context:
    """As it was before any test: no codes, no blocks, its three customers and the mail server that takes everything."""
    one_bank.outbound.codes.clear()
    one_bank.outbound.taken.clear()
    gateway = one_bank.gateway
    for table in (code, blocked_customer):
        gateway.store.database.write(lambda connection, table=table: connection.execute(delete(table)) and None)
    gateway.store.customers.put([Customer("10004", "Dora"), Customer("10007", "Mallory")])
    gateway.store.customers.put([Customer("10001", "Anna", ("anna@customer.example",), "retail")])
    for entry in gateway.store.certificates.list(customer="10001"):
        if entry.row.trust is not None:
            gateway.store.certificates.set_trust(entry.row.sha256, None)
            gateway._looked -= 2  # a mail looks once a second
    return one_bank


@pytest.fixture
def office(bank: Context) -> Office:
    settings = bank.gateway._loaded.settings
    clock = LateClock()
    made: list[Office] = []

    def told(events: Sequence[CodeEvent]) -> None:
        made[0].told(events)

    codes = load_codes(settings, bank.gateway, told)
    codes.desk.clock = clock
    made.append(Office(bank, codes, Book(bank.gateway.store.codes, told), clock))
    return made[0]
