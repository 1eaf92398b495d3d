"""Demands a second person's approval in the transaction of the act.

The rule in force is in the database, and the settings can only add to it: editing the settings and restarting does
not relax it. Root can: root can also change the database (docs/four-eyes.md).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from gateway.adapters.db.engine.audit_record import write_record
from gateway.adapters.db.tables.approvals import approval, four_eyes
from gateway.adapters.db.tables.mail import micros, moment
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor
from gateway.model.audit.acts import Act
from gateway.model.audit.four_eyes import CHANGE, ApprovalNeededError, ApprovalRequest, FourEyesRule, digest_of

TERM: Final = timedelta(hours=24)  # for the approval, and then for the act
IN_FORCE: Final = "policy.in_force"

_p = approval.c
_approved_act: ContextVar[tuple[str, str] | None] = ContextVar("sealgate_approved_act", default=None)


@contextmanager
def approved_inside(act: Act) -> Iterator[None]:
    """Inside, the same act on the same object was approved already, when it began."""
    token = _approved_act.set((act.name, act.id))
    try:
        yield
    finally:
        _approved_act.reset(token)


def approved_act() -> tuple[str, str] | None:
    """Name and object of what `approved_inside` says. Ask in the thread of the act, not in that of the transaction."""
    return _approved_act.get()


def stored_rule(connection: Connection) -> FourEyesRule:
    """The rule in force, as the database has it."""
    text = connection.scalar(select(four_eyes.c.value))
    return FourEyesRule() if text is None else FourEyesRule.of(text)


class SecondPerson:
    """Of one process. `settings`: the rule that its settings ask for."""

    def __init__(self, settings: FourEyesRule) -> None:
        self._settings = settings

    def rule(self, connection: Connection) -> FourEyesRule:
        """What is demanded: all that the database or the settings demand, by the persons of the database."""
        stored = stored_rule(connection)
        return FourEyesRule(stored.acts | self._settings.acts, stored.persons if stored.acts else
                            self._settings.persons)

    def check(self, connection: Connection, act: Act, actor: Actor, at: datetime) -> None:
        """Uses up the approval of the act, if it needs one. ApprovalNeededError if there is none.

        What the gateway does itself needs none, but for the policy set that a process wants to use.
        """
        rule = self.rule(connection)
        if not rule.demands(act):
            return
        if actor.kind == "program" and act.name not in {IN_FORCE, CHANGE}:
            return
        row = self._approved(connection, act, rule, actor, at)
        if row is None:
            raise ApprovalNeededError(act)
        connection.execute(update(approval).where(_p.number == row.number).values(state="used"))

    def is_approved(self, connection: Connection, act: Act, actor: Actor, at: datetime) -> bool:
        """Whether `check` would pass; uses nothing up."""
        rule = self.rule(connection)
        return not rule.demands(act) or self._approved(connection, act, rule, actor, at) is not None

    def _approved(self, connection: Connection, act: Act, rule: FourEyesRule, actor: Actor, at: datetime) -> Any:
        statement = select(approval).where(_p.digest == digest_of(act), _p.state == "approved",
                                           _p.expires_at > micros(at)).order_by(_p.number).limit(1)
        if act.name not in {IN_FORCE, CHANGE}:  # processes put those in force, not the requester
            person = rule.persons.get(actor.name, "") if actor.kind == "user" else ""  # a client may have the same name
            statement = statement.where(_p.requester == person)
        return connection.execute(statement).first()

    def request(self, connection: Connection, act: Act, actor: Actor, at: datetime) -> int:
        """The number of the request for this act: the one that is open, or a new one. GatewayError USAGE."""
        person = self._person(connection, actor)
        digest = digest_of(act)
        number = connection.scalar(select(_p.number).where(
            _p.digest == digest, _p.requester == person, _p.state == "open", _p.expires_at > micros(at)))
        if number is not None:
            return int(number)
        number = (connection.scalar(select(func.max(_p.number))) or 0) + 1
        connection.execute(insert(approval).values(
            number=number, act=act.name, object_id=act.id, digest=digest, requester=person, state="open",
            details=json.dumps({**act.details, **act.personal}, ensure_ascii=True), at=micros(at),
            expires_at=micros(at + TERM)))
        write_record(connection, Act("four_eyes.request", str(number), {
            "act": act.name, "object": act.id, "digest": digest}), actor, "done", at)
        return int(number)

    def decide(self, connection: Connection, number: int, actor: Actor, at: datetime, *, approve: bool) -> None:
        """Approves or declines an open request. GatewayError USAGE: none is open, or the person may not."""
        person = self._person(connection, actor)
        row = connection.execute(select(approval).where(_p.number == number)).first()
        if row is None or row.state != "open" or row.expires_at <= micros(at):
            state = "does not exist" if row is None else "has expired" if row.state == "open" else f"is {row.state}"
            raise GatewayError(Reason.USAGE, f"request {number} {state}. `sealgate audit requests` shows all")
        if approve and row.requester == person:
            raise GatewayError(Reason.USAGE, f"request {number} is {person}'s own: another person must approve it")
        connection.execute(update(approval).where(_p.number == number).values(
            state="approved" if approve else "declined", approver=person, expires_at=micros(at + TERM)))
        name = "four_eyes.approve" if approve else "four_eyes.decline"
        write_record(connection, Act(name, str(number), {
            "act": row.act, "object": row.object_id, "digest": row.digest}), actor, "done", at)

    def requests(self, connection: Connection) -> tuple[ApprovalRequest, ...]:
        """All, the oldest first."""
        return tuple(ApprovalRequest(
            row.number, row.act, row.object_id, json.loads(row.details), row.digest, row.requester, row.approver or "",
            row.state, moment(row.at), moment(row.expires_at))
            for row in connection.execute(select(approval).order_by(_p.number)))

    def apply(self, connection: Connection, actor: Actor, at: datetime) -> bool:
        """Makes the rule of the settings the rule in force; whether it was another one.

        A rule that demands less, or other persons, needs an approval under the rule before: ApprovalNeededError.
        """
        stored = stored_rule(connection)
        if stored == self._settings:
            return False
        act = Act(CHANGE, "", {"before": stored.text, "rule": self._settings.text})
        if not stored.tightened_by(self._settings):
            self.check(connection, act, actor, at)
        values = {"id": 1, "value": self._settings.text}
        if connection.scalar(select(four_eyes.c.id)) is None:
            connection.execute(insert(four_eyes).values(values))
        else:
            connection.execute(update(four_eyes).values(values))
        write_record(connection, act, actor, "done", at)
        return True

    def _person(self, connection: Connection, actor: Actor) -> str:
        person = self.rule(connection).persons.get(actor.name, "") if actor.kind == "user" else ""
        if not person:
            raise GatewayError(Reason.USAGE, f"the account {actor.name!r} belongs to no person in `persons` of the "
                               "settings, so it can neither request nor approve. Log in with a personal account")
        return person
