"""Legal holds in the database. Adding, removing and each deletion of records are alone (`LOCK`)."""

from collections.abc import Iterable
from dataclasses import replace
from string import hexdigits
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import indexed, storable
from gateway.adapters.db.evidence import RECORD, values_of
from gateway.adapters.db.tables.legal_holds import legal_hold
from gateway.adapters.db.tables.mail import counter, customer_address, evidence, held, micros, moment
from gateway.adapters.db.trace import BEHIND_HEX, PREFIX_MIN
from gateway.errors import GatewayError, Reason
from gateway.model.legal_hold import HoldTerms, LegalHold, comparable
from gateway.model.mailbox import spellings

LOCK: Final = "legal_hold"
_COUNTER: Final = "legal_hold"
_RECIPIENTS_MAX: Final = 1_000  # of one message

_l, _a, _e = legal_hold.c, customer_address.c, evidence.c


class DbLegalHolds:
    """See ports.legal_holds.LegalHolds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, terms: HoldTerms, person: str, reason: str) -> LegalHold:
        """See LegalHolds."""
        if terms.is_empty:
            raise GatewayError(Reason.USAGE, "a legal hold needs an address, a customer, a message or a period")
        at = self._database.now()
        terms = replace(terms, address=indexed(terms.address), customer=indexed(terms.customer),
                        message=indexed(terms.message))
        draft = LegalHold(0, at, storable(person), storable(reason), terms)

        def work(connection: Connection) -> LegalHold:
            hold = _related(connection, replace(draft, number=_next_number(connection)))
            connection.execute(insert(legal_hold).values(
                number=hold.number, at=micros(at), person=hold.person, reason=hold.reason, address=terms.address,
                customer=terms.customer, message=terms.message,
                since=None if terms.since is None else micros(terms.since),
                until=None if terms.until is None else micros(terms.until),
                addresses=sorted(hold.addresses), customers=sorted(hold.customers)))
            return hold

        return self._database.write(work, alone=LOCK, act=draft.act("legal_hold.add"),
                                    done=lambda hold: hold.act("legal_hold.add"))

    def remove(self, number: int) -> LegalHold:
        """See LegalHolds."""
        def work(connection: Connection) -> LegalHold:
            row = connection.execute(select(legal_hold).where(_l.number == number)).first()
            if row is None:
                raise GatewayError(Reason.USAGE, f"there is no legal hold {number}. `sealgate legal-hold list` shows "
                                   "all")
            connection.execute(delete(legal_hold).where(_l.number == number))
            return _hold(row)

        draft = LegalHold(number, self._database.now(), "", "", HoldTerms())
        return self._database.write(work, alone=LOCK, act=draft.act("legal_hold.remove"),
                                    done=lambda hold: hold.act("legal_hold.remove"))

    def list(self) -> tuple[LegalHold, ...]:
        """See LegalHolds."""
        with self._database.read() as connection:
            return tuple(map(_hold, connection.execute(select(legal_hold).order_by(_l.number))))


def numbers(connection: Connection) -> frozenset[int]:
    """Of all holds. In a transaction that holds LOCK no hold is added meanwhile."""
    return frozenset(connection.scalars(select(_l.number)))


def in_force(connection: Connection) -> tuple[LegalHold, ...]:
    """All holds, with what the register says now of their customers."""
    rows = connection.execute(select(legal_hold).order_by(_l.number)).all()
    return tuple(_related(connection, _hold(row)) for row in rows)


def _hold(row: Any) -> LegalHold:
    terms = HoldTerms(row.address, row.customer, row.message, None if row.since is None else moment(row.since),
                      None if row.until is None else moment(row.until))
    return LegalHold(row.number, moment(row.at), row.person, row.reason, terms, frozenset(row.addresses),
                     frozenset(row.customers))


def _next_number(connection: Connection) -> int:
    """Of a hold: no number is given twice."""
    last = connection.scalar(select(counter.c.value).where(counter.c.name == _COUNTER))
    if last is None:
        connection.execute(insert(counter).values(name=_COUNTER, value=1))
    else:
        connection.execute(update(counter).where(counter.c.name == _COUNTER).values(value=last + 1))
    return (last or 0) + 1


def _related(connection: Connection, hold: LegalHold) -> LegalHold:
    """With the addresses of its customer, and the customers of its address or of those whom the message concerns."""
    addresses, customers = set(hold.addresses), set(hold.customers)
    if hold.terms.customer:
        addresses |= set(map(comparable, connection.scalars(
            select(_a.address).where(_a.number == hold.terms.customer))))
    concerned = [hold.terms.address] if hold.terms.address else []
    messages = set(hold.messages)
    for record in _of_message(connection, hold.terms.message) if hold.terms.message else ():
        concerned += [record["sender"], record["recipient"]]
        messages |= {comparable(record[name]) for name in ("incident", "message_id") if record[name]}
    if concerned:
        known_as = {one for address in concerned for one in spellings(address)}
        customers |= set(connection.scalars(select(_a.number).where(_a.address.in_(known_as))))
    return replace(hold, addresses=frozenset(addresses), customers=frozenset(customers), messages=frozenset(messages))


def _of_message(connection: Connection, message: str) -> Iterable[dict[str, Any]]:
    """The evidence of a message: by its Message-ID, an incident or its beginning, the next hop's id, or a held mail's.

    `trace` takes these ids, too.
    """
    term = indexed(message.strip().removeprefix("<").removesuffix(">"))
    terms = [_e.incident == term, _e.message_id == term, _e.queue_id == term]
    if len(term) >= PREFIX_MIN and set(term) <= set(hexdigits.lower()):
        terms.append(and_(_e.incident >= term, _e.incident < term + BEHIND_HEX))
    origin = connection.scalar(select(held.c.origin).where(held.c.hold_id == term))
    if origin is not None and origin.get("incident"):
        terms.append(_e.incident == origin["incident"])
    found = connection.execute(select(*RECORD).where(or_(*terms)).limit(_RECIPIENTS_MAX))
    return list(map(values_of, found))
