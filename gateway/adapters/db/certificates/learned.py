"""What verified mail has taught: certificates that were harvested, and what their holders' programs read.

Everything happens in one transaction each, so that two mails at once cannot pass a bound together.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, or_, select, update

from gateway.adapters.db.certificates.store import DbCertificates, keep_new
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.mail import certificate, certificate_address, counter, micros
from gateway.clock import Clock
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError
from gateway.model.address import fold
from gateway.model.lookup import CertificateRow
from gateway.ports.administration import NewCertificate
from gateway.ports.certificates import Harvest, Harvested

SOURCE: Final = "harvest"
PER_ADDRESS_MAX: Final = 4  # owners for one address; two of them are a conflict already
PER_DAY_MAX: Final = 10_000  # in all: 20 MiB
RENEWED_AFTER: Final = timedelta(days=1)
_DAY: Final = "harvest "  # among the counters, before the day

_c = certificate.c
_a = certificate_address.c
_SEEN: Final = (_c.id, _c.der, _c.customer, _c.source, _c.trust, _c.added_at, _c.not_after, _c.capabilities_at)


class DbLearned:
    """See ports.certificates.LearnedCertificates."""

    name = "store"

    def __init__(self, database: Database, certificates: DbCertificates, clock: Clock) -> None:
        self._database = database
        self._certificates = certificates
        self._clock = clock

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """See CertificateSource."""
        return self._certificates.rows(address)

    def set_capabilities(self, sha256: str, capabilities: bytes | None, at: datetime) -> bool:
        """See LearnedCertificates."""
        statement = (
            update(certificate)
            .where(_c.sha256 == sha256, or_(_c.capabilities_at.is_(None), _c.capabilities_at < micros(at)))
            .values(capabilities=capabilities, capabilities_at=micros(at)))
        return self._database.write(lambda connection: connection.execute(statement).rowcount > 0)

    def harvest(self, found: Harvest) -> Harvested:
        """See LearnedCertificates."""
        now = self._clock.now()
        day = f"{_DAY}{now:%Y-%m-%d}"
        return self._database.write(lambda connection: _harvest(connection, found, micros(now), day),
                                    alone="certificates")


def _harvest(connection: Connection, found: Harvest, now: int, day: str) -> Harvested:
    new = found.certificate
    if connection.scalar(select(_c.id).where(_c.sha256 == new.sha256)) is not None:
        return "known"
    addresses = {fold(email) for email in new.emails} | {fold(found.address)}
    if _any_bound(connection, addresses):
        return "bound"
    harvested = connection.execute(
        select(*_SEEN).join(certificate_address, _a.certificate_id == _c.id)
        .where(_a.address == fold(found.address), _c.source == SOURCE, _c.customer.is_(None))).all()
    if any(row.capabilities_at is not None and row.capabilities_at >= micros(found.at) for row in harvested):
        return "older"
    # A row with the bank's own trust decision is never dropped.
    free = [row for row in harvested if row.trust is None]
    own = [row for row in free if _owner(row.der) == new.issued_to]
    if any(row.added_at > now - RENEWED_AFTER // timedelta(microseconds=1) for row in own):
        return "often"
    gone = {row.id for row in own} | {row.id for row in free if row.not_after < now}
    if len(harvested) - len(gone) >= PER_ADDRESS_MAX or not _counted(connection, day):
        return "full"
    connection.execute(delete(certificate).where(_c.id.in_(gone)))
    keep_new(connection, NewCertificate(new, source=SOURCE), now)
    connection.execute(update(certificate).where(_c.sha256 == new.sha256).values(
        capabilities=found.capabilities, capabilities_at=micros(found.at)))
    for issuer in found.issuers:
        if connection.scalar(select(_c.id).where(_c.sha256 == issuer.sha256)) is None:
            keep_new(connection, NewCertificate(issuer, source=SOURCE), now)
    return "stored"


def _any_bound(connection: Connection, addresses: set[str]) -> bool:
    bound = select(_c.id).join(certificate_address, _a.certificate_id == _c.id).where(
        _a.address.in_(addresses), _c.customer.is_not(None)).limit(1)
    return connection.scalar(bound) is not None


def _owner(der: bytes) -> tuple[object, object] | None:
    try:
        read = parse_certificate(der)
    except GatewayError:
        return None
    return read.issued_to


def _counted(connection: Connection, day: str) -> bool:
    """Whether one more may come today; counts it. Other days are forgotten."""
    count = connection.scalar(select(counter.c.value).where(counter.c.name == day))
    if count is None:
        connection.execute(delete(counter).where(counter.c.name.startswith(_DAY)))
        connection.execute(insert(counter).values(name=day, value=1))
        return True
    if count >= PER_DAY_MAX:
        return False
    connection.execute(update(counter).where(counter.c.name == day).values(value=count + 1))
    return True
