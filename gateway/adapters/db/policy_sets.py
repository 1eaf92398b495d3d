"""The policy sets that were in force: texts by digest, and the audit log's record of each change."""

import json
import socket
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, desc, insert, select

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.second_person import approved_inside
from gateway.adapters.db.tables.audit import audit, policy_set
from gateway.adapters.db.tables.mail import micros, moment
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor, acting, current_actor
from gateway.model.audit.acts import Act
from gateway.model.audit.four_eyes import ApprovalNeededError

Texts = tuple[tuple[str, str], ...]  # name of the file, and its content
IN_FORCE: Final = "policy.in_force"

_LAST: Final = (select(audit.c.object_id).where(audit.c.act == IN_FORCE, audit.c.result == "done")
                .order_by(desc(audit.c.number)).limit(1))


def _act(digest: str, before: str) -> Act:
    return Act(IN_FORCE, digest, {"before": before})


class DbPolicySets:
    """Which rules decided at any past moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_in_force(self, digest: str, texts: Texts) -> None:
        """A process works by this set from now on; recorded if the last record is of another set.

        GatewayError STORE_UNAVAILABLE (retry): the process must not use it.
        """
        with self._database.read() as connection:
            last = connection.scalar(_LAST)
        if last == digest:
            return
        at = micros(self._database.now())

        def work(connection: Connection) -> str | None:
            before = connection.scalar(_LAST)
            if before == digest:
                return None
            if connection.scalar(select(policy_set.c.digest).where(policy_set.c.digest == digest)) is None:
                connection.execute(insert(policy_set).values(digest=digest, first_at=at, texts=json.dumps(texts)))
            return before or ""

        def act(before: str | None) -> Act | None:
            return None if before is None else _act(digest, before)

        approved = approved_inside(Act(IN_FORCE, digest)) if last is None else nullcontext()  # the first set of all
        with acting(replace(current_actor(), source=socket.gethostname())), approved:
            self._database.write(work, alone="policy sets", act=Act(IN_FORCE, digest), done=act)

    def require_approval(self, digest: str) -> None:
        """Before a reload: if this set needs a second person, it is approved. GatewayError USAGE (retry) if not yet."""
        with self._database.read() as connection:
            last = connection.scalar(_LAST)
        if last in {None, digest}:
            return
        act = _act(digest, str(last))

        def work(connection: Connection, actor: Actor, at: datetime) -> None:
            if not self._database.second_person.is_approved(connection, act, actor, at):
                raise ApprovalNeededError(act)

        self._database.change_rule(work)

    def in_force(self) -> Texts | None:
        """The files of the set that was put in force last; None: there is none. GatewayError STORE_UNAVAILABLE."""
        with self._database.read() as connection:
            last = connection.scalar(_LAST)
        return None if last is None else self.texts(last)[1]

    def texts(self, digest: str) -> tuple[str, Texts]:
        """The full digest and the files, by the digest or its beginning. GatewayError(USAGE) if none has it."""
        statement = select(policy_set).where(policy_set.c.digest.startswith(digest, autoescape=True)).limit(2)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        if len(rows) != 1 or not digest:
            raise GatewayError(Reason.USAGE, f"{'several policy sets begin' if rows else 'no policy set begins'} with "
                               f"`{digest}`. `sealgate audit list --act policy.in_force` shows all")
        return rows[0].digest, tuple((name, text) for name, text in json.loads(rows[0].texts))

    def at(self, when: datetime) -> tuple[str, datetime]:
        """The digest of the set in force at this time, and since when. GatewayError(USAGE) before the first one."""
        statement = (select(audit.c.object_id, audit.c.at).where(
            audit.c.act == IN_FORCE, audit.c.result == "done", audit.c.at <= micros(when))
            .order_by(desc(audit.c.number)).limit(1))
        with self._database.read() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise GatewayError(Reason.USAGE, f"no policy set is recorded for {when:%Y-%m-%dT%H:%M:%SZ} or before. "
                               "`sealgate audit list --act policy.in_force` shows all")
        return row.object_id, moment(row.at)
