"""Requests that must not be done twice, in the database (see ports.services.requests for what it promises).

A claim is the row itself, without an answer. It is free again when its process has died (`Database.is_dead`), or when
it is older than any work can last: where it is unknown whether that process lives, or the database went away just
when it wanted to write down the answer.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.evidence import INSERT as EVIDENCE
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.tables.api import request
from gateway.adapters.db.tables.mail import micros, moment
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.requests import KEPT, Answered

LEASE: Final = timedelta(minutes=15)  # as the journal's; a request is cut off long before
FORGET_MAX: Final = 10_000  # rows at once, so that no caller waits long for it

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


@dataclass(frozen=True, slots=True)
class _Claim:
    key: str
    digest: str
    token: str
    at: datetime
    kept: timedelta

    @property
    def alone(self) -> str:
        """See Database.write."""
        return f"request {self.key}"


class DbRequests:
    """See ports.services.requests.Requests. A claim is 'key token'."""

    def __init__(self, database: Database, clock: Clock, evidence: DbEvidence | None = None) -> None:
        """`evidence`: records of a request's mail share the commit of its answer."""
        self._database = database
        self._clock = clock
        self._evidence = evidence

    def begin(self, key: str, digest: str, kept: timedelta = KEPT) -> Answered | str:
        """See Requests. A new claim shares the commit of the act that the request stands for (Database.write)."""
        self._database.attend()
        claim = _Claim(key, digest, secrets.token_hex(16), self._clock.now(), kept)
        with self._database.read() as connection:
            known = connection.execute(_FOUND, {"wanted": key}).first() is not None
        if known:
            begun = self._database.write(lambda connection: self._begun(connection, claim), alone=claim.alone)
            if isinstance(begun, Answered):
                return begun
        else:
            self._database.group.before_act(lambda connection: self._claimed(connection, claim), claim.alone)
        if self._evidence is not None:
            self._evidence.keep_back()
        return f"{key} {claim.token}"

    def _begun(self, connection: Connection, claim: "_Claim") -> Answered | None:
        """Claims the request, None; or how it was answered before."""
        found = connection.execute(_FOUND, {"wanted": claim.key}).first()
        if found is None:
            connection.execute(_CLAIM, {"key": claim.key, "digest": claim.digest, "owner": str(owner.here()),
                                        "token": claim.token, "at": micros(claim.at)})
            return None
        since = moment(found.at)
        if claim.at - since <= claim.kept:
            if found.digest != claim.digest:
                raise GatewayError(Reason.REQUEST_KEY_CONFLICT)
            if found.status is not None:
                return Answered(found.status, found.answer)
            if not self._database.is_dead(owner.Owner.parse(found.owner)) and claim.at - since <= LEASE:
                raise GatewayError(Reason.REQUEST_IN_PROGRESS, retry=True)
        connection.execute(_TAKE_OVER, {"wanted": claim.key, "who": str(owner.here()), "own": claim.token,
                                        "now": micros(claim.at), "asked": claim.digest})
        return None

    def _claimed(self, connection: Connection, claim: "_Claim") -> None:
        """Claims the request; if the same one came in between, this one has to come again for its answer."""
        if self._begun(connection, claim) is not None:
            raise GatewayError(Reason.REQUEST_IN_PROGRESS, retry=True)

    def answer(self, claim: str, answered: Answered) -> None:
        """See Requests."""
        key, _, token = claim.partition(" ")
        values = {"wanted": key, "own": token, "code": answered.status, "text": answered.body}
        if self._database.group.has_before_act:  # the work wrote nothing, so the claim is still to be made
            self._database.write(lambda _: None, acts=True)
        records = [] if self._evidence is None else self._evidence.kept_back()
        try:
            changed = self._database.group.change([(_ANSWER, values)], EVIDENCE, records)
        except GatewayError:
            if self._evidence is not None:
                self._evidence.give_back(records)
            raise
        finally:
            if self._evidence is not None:
                self._evidence.keep_no_more()
        if changed != [1]:
            raise GatewayError(Reason.REQUEST_IN_PROGRESS, "another process has taken the claim over", retry=True)

    def withdraw(self, claim: str) -> None:
        """See Requests."""
        if self._evidence is not None:
            self._evidence.keep_no_more()
        key, _, token = claim.partition(" ")
        if not self._database.group.take_back():
            self._database.write(lambda connection: connection.execute(
                _WITHDRAW, {"wanted": key, "own": token}) and None)

    def forget(self) -> int:
        """Drops requests that are too old to be repeated; returns how many."""
        old = select(_r.key).where(_r.at < micros(self._clock.now() - KEPT)).order_by(_r.at).limit(FORGET_MAX)
        return self._database.write(lambda connection: connection.execute(
            delete(request).where(_r.key.in_(old))).rowcount)
