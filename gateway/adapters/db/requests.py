"""Requests that must not be done twice, in the database (see ports.requests for what it promises).

A claim is the row itself, without an answer. It is free again when its process has died (`Database.is_dead`), or when
it is older than any work can last: where nobody can tell whether that process lives, or the database went away just
when it wanted to write down the answer.
"""

import secrets
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.adapters.db import owner
from gateway.adapters.db.engine import Database
from gateway.adapters.db.tables import micros, moment
from gateway.adapters.db.tables_api import request
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.requests import Answered

LEASE: Final = timedelta(minutes=15)  # as the journal's; a request is cut off long before
KEPT: Final = timedelta(days=3)  # who repeats a request does so within minutes
FORGET_MAX: Final = 10_000  # rows at once, so that nobody waits long for it

_r = request.c
_FOUND: Final = select(_r.digest, _r.owner, _r.at, _r.status, _r.answer).where(_r.key == bindparam("wanted"))
_CLAIM: Final = insert(request)
_TAKE_OVER: Final = update(request).where(_r.key == bindparam("wanted")).values(
    owner=bindparam("who"), token=bindparam("own"), at=bindparam("now"), status=None, answer=None,
    digest=bindparam("asked"))
_ANSWER: Final = update(request).where(_r.token == bindparam("own"), _r.key == bindparam("wanted")).values(
    status=bindparam("code"), answer=bindparam("text"))
_WITHDRAW: Final = delete(request).where(
    _r.token == bindparam("own"), _r.key == bindparam("wanted"), _r.status.is_(None))


class DbRequests:
    """See ports.requests.Requests. A claim is told as 'key token'."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, key: str, digest: str) -> Answered | str:
        """See Requests."""
        self._database.attend()
        now, here, token = self._clock.now(), owner.here(), secrets.token_hex(16)

        def work(connection: Connection) -> Answered | str:
            found = connection.execute(_FOUND, {"wanted": key}).first()
            if found is None:
                connection.execute(_CLAIM, {"key": key, "digest": digest, "owner": str(here), "token": token,
                                            "at": micros(now)})
                return f"{key} {token}"
            since = moment(found.at)
            if now - since <= KEPT:
                if found.digest != digest:
                    raise GatewayError(Reason.REQUEST_KEY_CONFLICT)
                if found.status is not None:
                    return Answered(found.status, found.answer)
                if not self._is_free(owner.Owner.parse(found.owner), since, now):
                    raise GatewayError(Reason.REQUEST_IN_PROGRESS, retry=True)
            connection.execute(_TAKE_OVER, {"wanted": key, "who": str(here), "own": token, "now": micros(now),
                                            "asked": digest})
            return f"{key} {token}"

        return self._database.write(work, alone=f"request {key}")

    def _is_free(self, who: owner.Owner, since: datetime, now: datetime) -> bool:
        return bool(self._database.is_dead(who)) or now - since > LEASE

    def answer(self, claim: str, answered: Answered) -> None:
        """See Requests."""
        key, _, token = claim.partition(" ")
        values = {"wanted": key, "own": token, "code": answered.status, "text": answered.body}
        self._database.write(lambda connection: connection.execute(_ANSWER, values) and None)

    def withdraw(self, claim: str) -> None:
        """See Requests."""
        key, _, token = claim.partition(" ")
        self._database.write(lambda connection: connection.execute(
            _WITHDRAW, {"wanted": key, "own": token}) and None)

    def forget(self) -> int:
        """Drops what nobody repeats any more; how many."""
        old = select(_r.key).where(_r.at < micros(self._clock.now() - KEPT)).order_by(_r.at).limit(FORGET_MAX)
        return self._database.write(lambda connection: connection.execute(
            delete(request).where(_r.key.in_(old))).rowcount)
