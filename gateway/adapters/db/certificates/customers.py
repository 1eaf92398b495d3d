"""The bank's customers in the database: number, name, segment, addresses. An address belongs to one customer."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.mail import certificate, customer, customer_address
from gateway.errors import GatewayError, Reason
from gateway.model.address import is_mailbox
from gateway.model.audit.acts import Act
from gateway.model.lookup import Customer
from gateway.model.mailbox import in_ascii, registered, spellings

Found = Any  # a row of _COLUMNS: SQLAlchemy types rows by position, we read them by name
PAGE: Final = 500  # customers read at once when listing: no reader keeps the log from being cut for long

_COLUMNS: Final = (customer.c.number, customer.c.name, customer.c.segment)
_BY_ADDRESS: Final = (
    select(*_COLUMNS).join(customer_address, customer_address.c.number == customer.c.number)
    .where(customer_address.c.address == bindparam("address")))
_BY_CERTIFICATE: Final = (
    select(*_COLUMNS).join(certificate, certificate.c.customer == customer.c.number)
    .where(certificate.c.sha256 == bindparam("sha256")))
_BY_NUMBER: Final = select(*_COLUMNS).where(customer.c.number == bindparam("number"))
_ADDRESSES: Final = (
    select(customer_address.c.number, customer_address.c.address)
    .where(customer_address.c.number.in_(bindparam("numbers", expanding=True)))
    .order_by(customer_address.c.address))




class DbCustomers:
    """See ports.customers.Customers and ports.administration.CustomerStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_address(self, address: str) -> Customer | None:
        """See Customers."""
        with self._database.read() as connection:
            found = (connection.execute(_BY_ADDRESS, {"address": one}).first() for one in spellings(address))
            customer = _one(connection, next((row for row in found if row is not None), None))
        return self._surely(customer)

    def by_certificate(self, sha256: str) -> Customer | None:
        """See Customers."""
        with self._database.read() as connection:
            found = _one(connection, connection.execute(_BY_CERTIFICATE, {"sha256": sha256}).first())
        return self._surely(found)

    def get(self, number: str) -> Customer | None:
        """See CustomerStore."""
        with self._database.read() as connection:
            found = _one(connection, connection.execute(_BY_NUMBER, {"number": number}).first())
        return self._surely(found)

    def _surely(self, found: Customer | None) -> Customer | None:
        """Another database must not answer "no customer": a rule about segments would then protect less."""
        if found is None:
            self._database.verify()
        return found

    def list(self, *, segment: str | None = None) -> Iterator[Customer]:
        """See CustomerStore. Read by pages: what changes meanwhile may or may not be in it."""
        after = ""
        while True:
            query = select(*_COLUMNS).where(customer.c.number > after).order_by(customer.c.number).limit(PAGE)
            if segment is not None:
                query = query.where(customer.c.segment == segment)
            with self._database.read() as connection:
                page = _complete(connection, connection.execute(query).all())
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number

    def put(self, customers: Iterable[Customer]) -> None:
        """See CustomerStore."""
        rows = tuple({one.number: one for one in map(_checked, customers)}.values())
        pages = [rows[start:start + PAGE] for start in range(0, len(rows), PAGE)]

        def work(connection: Connection) -> None:
            for page in pages:
                _put(connection, page)
            for page in pages:  # all old addresses are gone by now, so that two customers may swap theirs
                _put_addresses(connection, page)

        act = (Act("customer.import", rows[0].number, {"customers": 1}) if len(rows) == 1 else
               Act("customer.import", "", {"customers": len(rows)}))
        self._database.write(work, alone="customers", act=act, done=lambda _: act if rows else None)


def _one(connection: Connection, row: Found | None) -> Customer | None:
    return None if row is None else _complete(connection, [row])[0]


def _complete(connection: Connection, rows: Sequence[Found]) -> Sequence[Customer]:
    """With the addresses, in one more statement for all of them."""
    addresses: dict[str, list[str]] = {row.number: [] for row in rows}
    if rows:
        for number, address in connection.execute(_ADDRESSES, {"numbers": list(addresses)}):
            addresses[number].append(address)
    return [Customer(row.number, row.name, tuple(addresses[row.number]), row.segment) for row in rows]


def _checked(one: Customer) -> Customer:
    """Addresses as `spellings` finds them, each once. GatewayError(USAGE) for what is no number or address."""
    if not one.number or not one.number.isprintable() or len(one.number) > 64:
        raise GatewayError(Reason.USAGE,
                           f"`{one.number}` is not a valid customer number. Use 1 to 64 printable characters")
    addresses = tuple({in_ascii(address): registered(address) for address in one.addresses}.values())
    for address in addresses:
        if not is_mailbox(address):
            raise GatewayError(Reason.USAGE,
                               f"customer {one.number}: `{address}` is not a valid mail address. Write one "
                               "such as anna@customer.example")
    return Customer(one.number, one.name, addresses, one.segment)


def _put(connection: Connection, rows: Sequence[Customer]) -> None:
    numbers = [row.number for row in rows]
    known = set(connection.scalars(select(customer.c.number).where(customer.c.number.in_(numbers))))
    values = [{"n": row.number, "name": row.name, "segment": row.segment} for row in rows]
    fresh = [{"number": v["n"], "name": v["name"], "segment": v["segment"]} for v in values if v["n"] not in known]
    changed = [v for v in values if v["n"] in known]
    if fresh:
        connection.execute(insert(customer), fresh)
    if changed:
        connection.execute(update(customer).where(customer.c.number == bindparam("n")), changed)
    connection.execute(delete(customer_address).where(customer_address.c.number.in_(numbers)))


def _put_addresses(connection: Connection, rows: Sequence[Customer]) -> None:
    _refuse_taken(connection, rows)
    pairs = [{"address": address, "number": row.number} for row in rows for address in row.addresses]
    if pairs:
        connection.execute(insert(customer_address), pairs)


def _refuse_taken(connection: Connection, rows: Sequence[Customer]) -> None:
    """An address of another customer, in any spelling, in the store or among the rows themselves, is named."""
    owners: dict[str, str] = {}
    for row in rows:
        for address in row.addresses:
            for one in spellings(address):
                other = owners.setdefault(one, row.number)
                if other != row.number:
                    raise GatewayError(Reason.USAGE, f"customer {row.number}: {address} is customer {other}'s")
    query = select(customer_address.c.address, customer_address.c.number).where(
        customer_address.c.address.in_(list(owners)))
    for address, other in connection.execute(query):
        raise GatewayError(Reason.USAGE, f"customer {owners[address]}: {address} is customer {other}'s")
