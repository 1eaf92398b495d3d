"""One-time codes in the database (ports.services.codes): what hangs on an order of events is one transaction."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.codes import blocked_customer, code, code_mail, code_note
from gateway.adapters.db.tables.mail import micros, moment
from gateway.errors import Reason
from gateway.model.audit.acts import Act
from gateway.ports.services.codes import (
    Block,
    Blocked,
    CodeMail,
    CodeRow,
    CodeState,
    Compare,
    FailureLock,
    SendLimits,
    Tried,
)

_ALONE: Final = "codes"
_LIVE: Final = CodeState.LIVE.value
_c, _m, _n, _b = code.c, code_mail.c, code_note.c, blocked_customer.c

_GET: Final = select(code).where(_c.code_id == bindparam("id"))
_BLOCKED: Final = select(_b.customer).where(_b.customer == bindparam("customer"))
_MAILS_OF_CUSTOMER: Final = select(func.count()).select_from(code_mail).where(
    _m.customer == bindparam("customer"), _m.at > bindparam("since"))
_MAILS_OF_CLIENT: Final = select(func.count()).select_from(code_mail).where(
    _m.client == bindparam("client"), _m.at > bindparam("since"))
_FAILED, _RIGHT = "failed ", "right"  # notes: each wrong try with its number, and the right one
_NOTES: Final = code_note.join(code, _c.code_id == _n.code_id)
_LAST_RIGHT: Final = select(func.max(_n.at)).select_from(_NOTES).where(
    _c.customer == bindparam("customer"), _n.what == _RIGHT, _n.at > bindparam("since"))
_FAILURES: Final = select(func.count()).select_from(_NOTES).where(
    _c.customer == bindparam("customer"), _n.what.startswith(_FAILED), _n.at > bindparam("since"))
_REPLACE: Final = (
    update(code).where(_c.client == bindparam("of"), _c.customer == bindparam("whose"), _c.purpose == bindparam("what"),
                       _c.state == _LIVE)
    .values(state=CodeState.REPLACED.value))
_INSERT: Final = insert(code)
_INSERT_MAIL: Final = insert(code_mail)
_CHANGE: Final = (
    update(code).where(_c.code_id == bindparam("id"), _c.state == _LIVE)
    .values(state=bindparam("then"), tries=bindparam("tried"), sends=bindparam("sent")))


class DbCodes:
    """See ports.services.codes.CodeStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, row: CodeRow, limits: SendLimits, lock: FailureLock | None = None) -> Reason | None:
        """See CodeStore."""
        values = _packed(replace(row, sends=1))

        def work(connection: Connection) -> Reason | None:
            if connection.scalar(_BLOCKED, {"customer": row.customer}) is not None:
                return Reason.CUSTOMER_BLOCKED
            if _is_locked(connection, row.customer, row.created_at, lock):
                return Reason.CUSTOMER_LOCKED
            if _often(connection, row, row.created_at, limits):
                return Reason.CODE_OFTEN
            connection.execute(_REPLACE, {"of": row.client, "whose": row.customer, "what": row.purpose})
            connection.execute(_INSERT, values)
            connection.execute(_INSERT_MAIL, _mail(row, 1, row.created_at))
            return None

        return self._database.write(work, alone=_ALONE, acts=True)

    def send_again(self, code_id: str, now: datetime, sends_max: int, limits: SendLimits,
                   lock: FailureLock | None = None) -> CodeRow | Reason:
        """See CodeStore."""
        def work(connection: Connection) -> CodeRow | Reason:
            row = _one(connection, code_id)
            if row is None or row.state_at(now) is not CodeState.LIVE:
                return Reason.CODE_UNKNOWN
            if _is_locked(connection, row.customer, now, lock):
                return Reason.CUSTOMER_LOCKED
            if row.sends >= sends_max or _often(connection, row, now, limits):
                return Reason.CODE_OFTEN
            row = replace(row, sends=row.sends + 1)
            _change(connection, row)
            connection.execute(_INSERT_MAIL, _mail(row, row.sends, now))
            return row

        return self._database.write(work, alone=_ALONE, acts=True)

    def attempt(self, client: str, code_id: str, now: datetime, tries_max: int, compare: Compare,
                lock: FailureLock | None = None) -> Tried | None:
        """See CodeStore. The count is written before anything is compared; the caller gets it only after the commit."""
        def work(connection: Connection) -> Tried | None:
            row = _one(connection, code_id)
            if row is None or row.client != client:
                return None
            state = row.state_at(now)
            if state is not CodeState.LIVE:
                return Tried(row, state, Reason.CODE_UNKNOWN)
            if _is_locked(connection, row.customer, now, lock):
                return Tried(row, state, Reason.CUSTOMER_LOCKED)
            row = replace(row, tries=row.tries + 1)
            last = row.tries >= tries_max
            _change(connection, replace(row, state=CodeState.DEAD) if last else row)
            fault = compare(row)
            if fault is None:
                connection.execute(update(code).where(_c.code_id == code_id).values(state=CodeState.USED.value))
                if lock is not None:
                    _note(connection, code_id, _RIGHT, now)
                return Tried(row, CodeState.USED, None)
            if lock is not None:
                _note(connection, code_id, f"{_FAILED}{row.tries}", now)
            return Tried(row, CodeState.DEAD if last else CodeState.LIVE, fault)

        return self._database.write(work, alone=_ALONE, acts=True)

    def end(self, code_id: str, state: CodeState) -> bool:
        """See CodeStore."""
        statement = update(code).where(_c.code_id == code_id, _c.state == _LIVE).values(state=state.value)
        return bool(self._database.write(lambda connection: connection.execute(statement).rowcount, alone=_ALONE))

    def get(self, code_id: str) -> CodeRow | None:
        """See CodeStore."""
        with self._database.read() as connection:
            return _one(connection, code_id)

    def mails(self, code_id: str) -> tuple[CodeMail, ...]:
        """See CodeStore."""
        with self._database.read() as connection:
            found = connection.execute(select(code_mail).where(_m.code_id == code_id).order_by(_m.number)).all()
        return tuple(CodeMail(row.number, moment(row.at), None if row.bounced_at is None else moment(row.bounced_at),
                              row.bounced_status, row.diagnostic) for row in found)

    def of_customer(self, customer: str, rows_max: int) -> tuple[CodeRow, ...]:
        """See CodeStore."""
        query = select(code).where(_c.customer == customer).order_by(_c.created_at.desc(), _c.code_id).limit(rows_max)
        with self._database.read() as connection:
            return tuple(map(_row, connection.execute(query)))

    def block(self, block: Block, noted: tuple[str, str] | None = None) -> Blocked | None:
        """See CodeStore."""
        live = (_c.customer == block.customer, _c.state == _LIVE)

        def work(connection: Connection) -> Blocked | None:
            if noted is not None and (_one(connection, noted[0]) is None or not _note(connection, *noted, block.at)):
                return None
            before = connection.scalar(_BLOCKED, {"customer": block.customer})
            if before is None:
                connection.execute(insert(blocked_customer).values(
                    customer=block.customer, at=micros(block.at), by=block.by))
            rows = tuple(map(_row, connection.execute(select(code).where(*live).order_by(_c.created_at))))
            connection.execute(update(code).where(*live).values(state=CodeState.BLOCKED.value))
            return Blocked(before is None, tuple(one for one in rows if one.state_at(block.at) is CodeState.LIVE))

        act = Act("customer.block", block.customer, {"by": block.by})
        return self._database.write(work, alone=_ALONE, act=act,
                                    done=lambda found: act if found is not None and found.fresh else None)

    def unblock(self, customer: str) -> bool:
        """See CodeStore."""
        own = _n.code_id.in_(select(_c.code_id).where(_c.customer == customer))
        statements = (delete(blocked_customer).where(_b.customer == customer),
                      delete(code_note).where(own, _n.what.startswith(_FAILED)))
        return bool(self._database.write(
            lambda connection: sum([connection.execute(one).rowcount for one in statements]), alone=_ALONE,
            act=Act("customer.unblock", customer), done=lambda count: Act("customer.unblock", customer) if count
            else None))

    def blocks(self, customer: str | None = None) -> tuple[Block, ...]:
        """See CodeStore."""
        query = select(blocked_customer).order_by(_b.customer)
        if customer is not None:
            query = query.where(_b.customer == customer)
        with self._database.read() as connection:
            return tuple(Block(row.customer, moment(row.at), row.by) for row in connection.execute(query))

    def bounced(self, code_id: str, number: int, status: str, diagnostic: str, at: datetime, *,
                permanent: bool) -> CodeRow | None:
        """See CodeStore."""
        here = (_m.code_id == code_id, _m.number == number)

        def work(connection: Connection) -> CodeRow | None:
            before = connection.execute(select(_m.bounced_status).where(*here)).first()
            if before is None:
                return None
            known = before.bounced_status
            if known is not None and (known[:1] == "5" or not permanent):
                return None
            connection.execute(update(code_mail).where(*here).values(
                bounced_at=micros(at), bounced_status=status, diagnostic=diagnostic))
            return _one(connection, code_id)

        return self._database.write(work, alone=_ALONE)

    def noted(self, code_id: str, what: str) -> bool:
        """See CodeStore."""
        with self._database.read() as connection:
            return _is_noted(connection, code_id, what)

    def note(self, code_id: str, what: str, at: datetime) -> None:
        """See CodeStore."""
        def work(connection: Connection) -> None:
            if _one(connection, code_id) is not None:
                _note(connection, code_id, what, at)

        self._database.write(work, alone=_ALONE)


Found = Any  # a row of `code`: SQLAlchemy types rows by position, we read them by name


def _one(connection: Connection, code_id: str) -> CodeRow | None:
    found = connection.execute(_GET, {"id": code_id}).first()
    return None if found is None else _row(found)


def _row(found: Found) -> CodeRow:
    return CodeRow(
        code_id=found.code_id, client=found.client, customer=found.customer, purpose=found.purpose,
        state=CodeState(found.state), digits=found.digits, nonce=bytes(found.nonce), digest=bytes(found.digest),
        language=found.language, reference=found.reference, created_at=moment(found.created_at),
        expires_at=moment(found.expires_at), tries=found.tries, sends=found.sends)


def _packed(row: CodeRow) -> Mapping[str, Any]:
    return {
        "code_id": row.code_id, "client": row.client, "customer": row.customer, "purpose": row.purpose,
        "state": row.state.value, "digits": row.digits, "nonce": row.nonce, "digest": row.digest,
        "language": row.language, "reference": row.reference, "created_at": micros(row.created_at),
        "expires_at": micros(row.expires_at), "tries": row.tries, "sends": row.sends}


def _mail(row: CodeRow, number: int, at: datetime) -> Mapping[str, Any]:
    return {"code_id": row.code_id, "number": number, "client": row.client, "customer": row.customer, "at": micros(at)}


def _change(connection: Connection, row: CodeRow) -> None:
    connection.execute(_CHANGE, {"id": row.code_id, "then": row.state.value, "tried": row.tries, "sent": row.sends})


def _often(connection: Connection, row: CodeRow, now: datetime, limits: SendLimits) -> bool:
    """Whether one more mail is too many."""
    def mails(query: Select[Any], window: timedelta, **whose: str) -> int:
        return int(connection.scalar(query, {**whose, "since": micros(now - window)}) or 0)

    hourly, minutely = limits.per_customer_per_hour, limits.per_client_per_minute
    return bool((hourly and mails(_MAILS_OF_CUSTOMER, timedelta(hours=1), customer=row.customer) >= hourly)
                or (minutely and mails(_MAILS_OF_CLIENT, timedelta(minutes=1), client=row.client) >= minutely))


def _is_locked(connection: Connection, customer: str, now: datetime, lock: FailureLock | None) -> bool:
    """Whether too many tries in a row were wrong, over all codes of the customer."""
    if lock is None:
        return False
    asked = {"customer": customer, "since": micros(now - timedelta(seconds=lock.window_s))}
    right = connection.scalar(_LAST_RIGHT, asked)
    if right is not None:
        asked["since"] = int(right)
    return int(connection.scalar(_FAILURES, asked) or 0) >= lock.failures_max


def _is_noted(connection: Connection, code_id: str, what: str) -> bool:
    return connection.scalar(select(_n.what).where(_n.code_id == code_id, _n.what == what)) is not None


def _note(connection: Connection, code_id: str, what: str, at: datetime) -> bool:
    """Whether it was not noted before."""
    if _is_noted(connection, code_id, what):
        return False
    connection.execute(insert(code_note).values(code_id=code_id, what=what, at=micros(at)))
    return True
