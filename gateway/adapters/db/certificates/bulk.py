"""Very many customers and certificates in few statements.

What one mail asks for in 10 us by a statement of its own (`look_up`) is here asked for by the thousand: a plan, a
snapshot and a call of the driver for all of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Text, bindparam, select, type_coerce

from gateway.adapters.db.certificates.revocations import DbRevocations
from gateway.adapters.db.certificates.store import ROWS_MAX
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.codes import blocked_customer
from gateway.adapters.db.tables.mail import (
    certificate,
    certificate_address,
    customer,
    customer_address,
    moment,
    revocation_answer,
)
from gateway.adapters.db.tables.statements import statement_item
from gateway.model.lookup import CertificateRow, Customer
from gateway.model.mailbox import spellings
from gateway.ports.revocation import StoredAnswer

AT_ONCE_MAX: Final = 5_000  # numbers or addresses in one question; PostgreSQL takes 65,535 parameters, SQLite 32,766
ANSWERS_MAX: Final = 100_000  # of one authority, whose serial numbers are kept; beyond them each is asked for

_c = certificate.c
_COLUMNS: Final = (_c.sha256, _c.der, _c.not_before, _c.not_after, _c.customer, _c.source, _c.key_origin,
                   _c.device_bound, _c.capabilities, _c.profile, _c.added_at, _c.trust, _c.capabilities_at)
_CERTIFICATES: Final = (
    # The names of nearly every certificate are the one that was asked for: JSON is read only where it is longer.
    select(certificate_address.c.address, type_coerce(_c.addresses, Text).label("named"), *_COLUMNS,
           customer_address.c.number.label("address_customer"))
    .join(certificate_address, certificate_address.c.certificate_id == _c.id)
    .outerjoin(customer_address, customer_address.c.address == certificate_address.c.address)
    .where(certificate_address.c.address.in_(bindparam("asked", expanding=True)))
    .order_by(certificate_address.c.address, certificate_address.c.certificate_id))
_CUSTOMERS: Final = (
    select(customer.c.number, customer.c.name, customer.c.segment)
    .where(customer.c.number.in_(bindparam("asked", expanding=True))))
_ADDRESSES: Final = (
    select(customer_address.c.number, customer_address.c.address)
    .where(customer_address.c.number.in_(bindparam("asked", expanding=True)))
    .order_by(customer_address.c.number, customer_address.c.address))
_OWNERS: Final = (
    select(customer_address.c.address, customer_address.c.number)
    .where(customer_address.c.address.in_(bindparam("asked", expanding=True))))
_BLOCKED: Final = (
    select(blocked_customer.c.customer).where(blocked_customer.c.customer.in_(bindparam("asked", expanding=True))))
_SENT: Final = (
    select(statement_item.c.series, statement_item.c.version)
    .where(statement_item.c.series.in_(bindparam("asked", expanding=True)), statement_item.c.version.is_not(None)))
_SERIALS: Final = (
    select(revocation_answer.c.serial).where(revocation_answer.c.authority == bindparam("authority"))
    .limit(ANSWERS_MAX + 1))


class DbBulk:
    """Few statements for each question, however much is asked for. GatewayError(STORE_UNAVAILABLE, retry=True)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def customers(self, numbers: Sequence[str]) -> Mapping[str, Customer]:
        """Those that exist, by number. At most AT_ONCE_MAX numbers."""
        asked = _bounded(numbers)
        addresses: dict[str, list[str]] = {}
        with self._database.read() as connection:
            found = connection.execute(_CUSTOMERS, asked).all()
            for number, address in connection.execute(_ADDRESSES, asked):
                addresses.setdefault(number, []).append(address)
        return {number: Customer(number, name, tuple(addresses.get(number, ())), segment)
                for number, name, segment in found}

    def certificates(self, addresses: Sequence[str]) -> Mapping[str, tuple[CertificateRow, ...]]:
        """All certificates that name an address in any spelling, as CertificateSource.rows gives them for each.

        By address, folded. At most AT_ONCE_MAX addresses, folded. Those without a certificate are not in the answer.
        """
        rows: dict[str, tuple[CertificateRow, ...]] = {}
        asked = _bounded(addresses)["asked"]
        with self._database.read() as connection:
            for page in _pages(asked):
                for address, named, *values in connection.execute(_CERTIFICATES, {"asked": page}):
                    before = rows.get(address, ())
                    if len(before) < ROWS_MAX:
                        rows[address] = (*before, _row(address, named, values))
        found = ((address, sum((rows.get(one, ()) for one in spellings(address)), ())) for address in asked)
        return {address: of_all for address, of_all in found if of_all}

    def owners(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """By address the number of its customer, if the register has it in any spelling. As many as above, folded."""
        numbers: dict[str, str] = {}
        asked = _bounded(addresses)["asked"]
        with self._database.read() as connection:
            for page in _pages(asked):
                numbers.update((row.address, row.number) for row in connection.execute(_OWNERS, {"asked": page}))
        found = ((address, next((numbers[one] for one in spellings(address) if one in numbers), None))
                 for address in asked)
        return {address: number for address, number in found if number is not None}

    def blocked(self, numbers: Sequence[str]) -> frozenset[str]:
        """Those of these customers who get no codes until an operator unblocks them. At most AT_ONCE_MAX."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(_BLOCKED, _bounded(numbers)))

    def sent(self, series: Sequence[bytes]) -> frozenset[tuple[bytes, str]]:
        """Series and version of all statements in these series that an item has."""
        found: set[tuple[bytes, str]] = set()
        with self._database.read() as connection:
            for start in range(0, len(series), AT_ONCE_MAX):
                rows = connection.execute(_SENT, {"asked": series[start:start + AT_ONCE_MAX]})
                found.update((bytes(one), version) for one, version in rows)
        return frozenset(found)


class BulkRevocations(DbRevocations):
    """The same table for one pre-flight: most authorities answer by lists, and are asked for no answer a million times.

    For a minute at most: what is fetched meanwhile it may not see.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._serials: dict[str, frozenset[str] | None] = {}

    def answer(self, authority: str, serial: int) -> StoredAnswer | None:
        """See RevocationStore."""
        if authority not in self._serials:
            with self._database.read() as connection:
                found = frozenset(connection.scalars(_SERIALS, {"authority": authority}))
            self._serials[authority] = found if len(found) <= ANSWERS_MAX else None
        known = self._serials[authority]
        return super().answer(authority, serial) if known is None or str(serial) in known else None


def _bounded(asked: Sequence[str]) -> dict[str, list[str]]:
    if len(asked) > AT_ONCE_MAX:
        msg = f"{len(asked)} at once"
        raise ValueError(msg)
    return {"asked": list(asked)}


def _pages(addresses: Sequence[str]) -> Iterator[Sequence[str]]:
    """All spellings of the addresses (see `spellings`), at most AT_ONCE_MAX at once."""
    every = list(dict.fromkeys(one for address in addresses for one in spellings(address)))
    return (every[start:start + AT_ONCE_MAX] for start in range(0, len(every), AT_ONCE_MAX))


def _row(address: str, named: Any, values: list[Any]) -> CertificateRow:
    (sha256, der, not_before, not_after, number, source, key_origin, device_bound, capabilities, profile, added_at,
     trust, capabilities_at, address_customer) = values
    names = (address,) if named == f'["{address}"]' else tuple(named if isinstance(named, list) else json.loads(named))
    return CertificateRow(
        sha256, der, names, moment(not_before), moment(not_after), number, source, key_origin, bool(device_bound),
        capabilities, profile, moment(added_at), trust, None if capabilities_at is None else moment(capabilities_at),
        address_customer)
