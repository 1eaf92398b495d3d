"""Writes one record of the audit log in the transaction of the act, under the lock that numbers records."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, insert, select

from gateway.adapters.db.engine.text import indexed
from gateway.adapters.db.tables.audit import audit, audit_value
from gateway.adapters.db.tables.mail import micros
from gateway.model.audit.actor import Actor
from gateway.model.audit.acts import ACTS, Act, Scalar
from gateway.model.audit.record import SALT_OCTETS, AuditRecord, PersonalValue, Result, packed

LOCK: Final = "audit"  # what `Database.write` holds alone while a record is numbered

_LAST: Final = select(func.max(audit.c.number))


def write_record(connection: Connection, act: Act, actor: Actor, result: Result, at: datetime,
                 reason: str = "") -> int:
    """Appends a record; its number. The transaction holds `LOCK`."""
    kind = ACTS[act.name]
    personal = {
        "actor": actor.name if actor.kind == "user" else "", "source": actor.source, "remark": actor.remark,
        "object": act.id if kind.personal else "", **act.personal}
    values = {name: PersonalValue(indexed(value), secrets.token_hex(SALT_OCTETS))
              for name, value in personal.items() if value}
    record = AuditRecord(
        number=(connection.scalar(_LAST) or 0) + 1, at=at, act=act.name, result=result, reason=reason,
        actor_kind=actor.kind, actor="" if actor.kind == "user" else indexed(actor.name),
        credential=indexed(actor.credential), object_kind=kind.object,
        object_id="" if kind.personal else indexed(act.id), details=_storable(act.details),
        commitments={name: value.commitment for name, value in values.items()})
    connection.execute(insert(audit).values(
        number=record.number, at=micros(record.at), act=record.act, result=record.result,
        actor_kind=record.actor_kind, actor=record.actor, object_id=record.object_id, octets=packed(record)))
    if values:
        connection.execute(insert(audit_value), [
            {"number": record.number, "field": name, "value": one.value, "salt": one.salt}
            for name, one in values.items()])
    return record.number


def _storable(details: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {name: indexed(value) if isinstance(value, str) else value for name, value in details.items()}
