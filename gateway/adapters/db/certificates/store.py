"""Certificates of customers and issuers in the database.

`rows` is on every outbound mail's way: one statement, by the index of the folded address, at any size of the store.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal

from sqlalchemy import Connection, Select, bindparam, insert, null, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.lookup_cache import AGAIN
from gateway.adapters.db.tables.mail import certificate, certificate_address, customer, customer_address, micros, moment
from gateway.clock import Clock
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.model.audit.acts import Act, Scalar
from gateway.model.lookup import CertificateRow
from gateway.model.mailbox import registered
from gateway.ports.administration import (
    ANCHOR_PURPOSES,
    AnchorPurpose,
    CertificateEntry,
    Kept,
    NewCertificate,
    TrustList,
)

Found = Any  # a row of _ENTRY or _COLUMNS: SQLAlchemy types rows by position, we read them by name
_TRUST_ACTS: Final = {"trusted": "certificate.trust", "distrusted": "certificate.distrust", None: "certificate.forget"}
PAGE: Final = 500  # certificates read at once when listing
ROWS_MAX: Final = 1_000  # certificates of one address; more is no directory but an attack on every mail to it

_c = certificate.c
_COLUMNS: Final = (_c.sha256, _c.der, _c.addresses, _c.not_before, _c.not_after, _c.customer, _c.source, _c.key_origin,
                   _c.device_bound, _c.capabilities, _c.profile, _c.added_at, _c.trust, _c.capabilities_at)
_NAMES: Final = tuple(column.name for column in _COLUMNS)
_ENTRY: Final = (*_COLUMNS, _c.id, _c.subject, _c.ca_subject, _c.trust_for)
_LOOKED_UP: Final = (*_NAMES, "address_customer")
_BY_ADDRESS: Final = (
    select(*_COLUMNS, customer_address.c.number.label("address_customer"))
    .join(certificate_address, certificate_address.c.certificate_id == _c.id)
    .outerjoin(customer_address, customer_address.c.address == certificate_address.c.address)
    .where(certificate_address.c.address == bindparam("address"))
    .order_by(certificate_address.c.certificate_id).limit(ROWS_MAX)  # of the index: nothing is sorted
    .execution_options(**{AGAIN: True}))
_BOUND: Final = (
    select(*_COLUMNS, null().label("address_customer"))
    .where(_c.sha256 == bindparam("sha256"), _c.customer.is_not(None))
    .execution_options(**{AGAIN: True}))
_BY_SUBJECT: Final = (
    select(_c.der).where(_c.ca_subject == bindparam("subject"), _c.ca_subject.is_not(None),
                         _c.trust.is_distinct_from("distrusted")).order_by(_c.id).limit(ROWS_MAX))


class DbCertificates:
    """See ports.certificates and ports.administration.CertificateStore."""

    name = "store"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """See CertificateSource."""
        return tuple(map(_looked_up, self._database.look_up(_BY_ADDRESS, address=fold(address))))

    def by_subject(self, subject: bytes) -> tuple[bytes, ...]:
        """See IntermediateSource. Distrusted issuers lead nowhere."""
        found = self._database.look_up(_BY_SUBJECT, subject=sha256(subject).hexdigest())
        return tuple([der for der, in found])

    def awaits_issuer(self, certificate: Certificate) -> bool:
        """See IntermediateSource. The store waits for nothing."""
        del certificate
        return False

    def missing(self, certificate: Certificate) -> bool:
        """See IntermediateSource. All that is in the store has been found already."""
        del certificate
        return False

    def binding(self, sha256: str) -> CertificateRow | None:
        """See Bindings."""
        found = self._database.look_up(_BOUND, sha256=sha256)
        return _looked_up(found[0]) if found else None

    def add(self, new: Sequence[NewCertificate]) -> tuple[Kept, ...]:
        """See CertificateStore."""
        now = micros(self._clock.now())
        return self._database.write(lambda connection: tuple(_add(connection, one, now) for one in new),
                                    alone="certificates", act=_attempted_import(new), done=_import_act)

    def get(self, sha256: str) -> CertificateEntry:
        """See CertificateStore."""
        with self._database.read() as connection:
            return _entry(_unique(connection, sha256))

    def list(self, *, address: str | None = None, customer: str | None = None, ends_before: datetime | None = None,
             issuers: bool | None = None) -> Iterator[CertificateEntry]:
        """See CertificateStore. Read by pages."""
        query = select(*_ENTRY).order_by(_c.id).limit(PAGE)
        if address is not None:
            query = query.join(certificate_address, certificate_address.c.certificate_id == _c.id).where(
                certificate_address.c.address == fold(address))
        if customer is not None:
            query = query.where(_c.customer == customer)
        if ends_before is not None:
            query = query.where(_c.not_after < micros(ends_before))
        if issuers is not None:
            query = query.where(_c.ca_subject.is_not(None) if issuers else _c.ca_subject.is_(None))
        return self._pages(query)

    def set_trust(self, sha256: str, trust: Literal["trusted", "distrusted"] | None,
                  purposes: Sequence[AnchorPurpose] = ()) -> CertificateEntry:
        """See CertificateStore."""
        name = _TRUST_ACTS[trust]
        return self._database.write(
            lambda connection: _set_trust(connection, sha256, trust, purposes), alone="certificates",
            act=Act(name, sha256, {"purposes": " ".join(purposes)}), done=lambda entry: _trust_act(name, entry))

    def trust_list(self) -> TrustList:
        """See CertificateStore."""
        query = select(_c.sha256, _c.der, _c.trust, _c.trust_for).where(_c.trust.is_not(None)).order_by(_c.id)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        if not found:
            self._database.verify()
        return TrustList(
            frozenset(row.sha256 for row in found if row.trust == "trusted"),
            frozenset(row.sha256 for row in found if row.trust == "distrusted"),
            tuple((purpose, parse_certificate(row.der)) for row in found if row.trust == "trusted"
                  for purpose in row.trust_for or ()))

    def _pages(self, query: Select[Any]) -> Iterator[CertificateEntry]:
        after = 0
        while True:
            with self._database.read() as connection:
                page = connection.execute(query.where(_c.id > after)).all()
            yield from map(_entry, page)
            if len(page) < PAGE:
                return
            after = page[-1].id


def _trust_act(name: str, entry: CertificateEntry) -> Act:
    details: dict[str, Scalar] = {"purposes": " ".join(entry.trust_for)}
    if entry.is_issuer:
        return Act(name, entry.row.sha256, details | {"subject": entry.subject})
    return Act(name, entry.row.sha256, details, {"subject": entry.subject, "customer": entry.row.customer or ""})


def _attempted_import(new: Sequence[NewCertificate]) -> Act:
    return Act("certificate.import", new[0].certificate.sha256 if len(new) == 1 else "", {"certificates": len(new)})


def _import_act(kept: Sequence[Kept]) -> Act | None:
    """One record for each transaction; of several certificates it has their number and a digest of their digests."""
    changed = [one for one in kept if one.change != "known"]
    if not changed:
        return None
    if len(changed) > 1:
        digest = sha256("\n".join(sorted(one.row.sha256 for one in changed)).encode()).hexdigest()
        return Act("certificate.import", "", {"certificates": len(changed), "sha256_of_list": digest})
    row = changed[0].row
    return Act("certificate.import", row.sha256, {"certificates": 1, "change": changed[0].change, "source": row.source},
               {"customer": row.customer or "", "addresses": " ".join(row.addresses)})


def _row(row: Found) -> CertificateRow:
    return CertificateRow(
        sha256=row.sha256, der=row.der, addresses=tuple(row.addresses), not_before=moment(row.not_before),
        not_after=moment(row.not_after), customer=row.customer, source=row.source, key_origin=row.key_origin,
        device_bound=row.device_bound, capabilities=row.capabilities, profile=row.profile,
        added_at=moment(row.added_at), trust=row.trust,
        capabilities_at=None if row.capabilities_at is None else moment(row.capabilities_at))


@lru_cache(maxsize=1024)  # under 4 MiB
def _looked_up(row: tuple[Any, ...]) -> CertificateRow:
    """The same of a row as the driver has it. Kept under all of its values: a row that changed is another one."""
    named = dict(zip(_LOOKED_UP, row, strict=True))
    for name in ("not_before", "not_after", "added_at", "capabilities_at"):
        named[name] = None if named[name] is None else moment(named[name])
    return CertificateRow(**{
        **named, "addresses": tuple(json.loads(named["addresses"])), "device_bound": bool(named["device_bound"])})


def _entry(row: Found) -> CertificateEntry:
    return CertificateEntry(_row(row), row.subject, row.ca_subject is not None, tuple(row.trust_for or ()))


def _unique(connection: Connection, beginning: str) -> Found:
    """The one certificate whose fingerprint begins so; colons and case as people paste them."""
    prefix = beginning.replace(":", "").lower()
    if not prefix or not set(prefix) <= set("0123456789abcdef"):
        raise GatewayError(Reason.USAGE,
                           f"`{beginning}` is not the beginning of a SHA-256 fingerprint. Use hexadecimal "
                           "digits, such as 3fa94c")
    query = select(*_ENTRY).where(_c.sha256 >= prefix, _c.sha256 < prefix + "g").limit(2)
    found = connection.execute(query).all()
    if len(found) != 1:
        raise GatewayError(Reason.USAGE, f"{'several certificates begin' if found else 'no certificate begins'} with "
                           f"{prefix}. `sealgate cert list` shows all")
    return found[0]


def _add(connection: Connection, new: NewCertificate, now: int) -> Kept:
    found = connection.execute(select(*_ENTRY).where(_c.sha256 == new.certificate.sha256)).first()
    if new.customer is not None and connection.scalar(
            select(customer.c.number).where(customer.c.number == new.customer)) is None:
        raise GatewayError(Reason.USAGE, f"the customer {new.customer} does not exist. Add it with `sealgate customer "
                           "import`")
    if found is None:
        keep_new(connection, new, now)
        return Kept(_row(_unique(connection, new.certificate.sha256)), "added")
    if new.customer is None or found.customer == new.customer:
        return Kept(_row(found), "known")
    if found.customer is not None:
        raise GatewayError(Reason.CERTIFICATE_CONFLICT, f"{found.subject} is bound to customer {found.customer}")
    connection.execute(update(certificate).where(_c.id == found.id).values(
        customer=new.customer, key_origin=new.key_origin, device_bound=new.device_bound,
        profile=new.profile or found.profile))
    if found.ca_subject is not None:
        _index(connection, found.id, found.addresses)
    return Kept(_row(_unique(connection, new.certificate.sha256)), "bound")


def keep_new(connection: Connection, new: NewCertificate, now: int) -> None:
    """Writes one that is not there yet. `now`: microseconds, as in the tables."""
    read = new.certificate
    addresses = list(dict.fromkeys(map(fold, read.emails)))
    result = connection.execute(insert(certificate).values(
        sha256=read.sha256, der=read.der, subject=read.subject,
        ca_subject=sha256(read.subject_der).hexdigest() if read.is_ca else None, addresses=addresses,
        not_before=micros(read.not_before), not_after=micros(read.not_after), customer=new.customer,
        source=new.source, key_origin=new.key_origin, device_bound=new.device_bound, profile=new.profile,
        added_at=now))
    if not read.is_ca or new.customer is not None:
        (number,) = result.inserted_primary_key or (0,)
        _index(connection, number, addresses)


def _index(connection: Connection, number: int, addresses: Sequence[str]) -> None:
    """Lets it be found by its addresses. Not an issuer that is bound to no customer: mail is not encrypted to those."""
    if addresses:
        connection.execute(insert(certificate_address), [
            {"address": address, "certificate_id": number}
            for address in dict.fromkeys(map(registered, addresses))])


def _set_trust(connection: Connection, beginning: str, trust: Literal["trusted", "distrusted"] | None,
               purposes: Sequence[AnchorPurpose]) -> CertificateEntry:
    found = _unique(connection, beginning)
    if trust == "trusted" and found.ca_subject is not None and found.customer is None and not purposes:
        raise GatewayError(Reason.USAGE, f"{found.subject} is an issuer: say for whom it is trusted, "
                           f"any of {', '.join(ANCHOR_PURPOSES)}")
    if purposes and (trust != "trusted" or found.ca_subject is None):
        raise GatewayError(Reason.USAGE, f"purposes belong to trusted issuers, {found.subject} is none")
    ordered = [purpose for purpose in ANCHOR_PURPOSES if purpose in purposes] or None
    connection.execute(update(certificate).where(_c.id == found.id).values(trust=trust, trust_for=ordered))
    return _entry(_unique(connection, found.sha256))
