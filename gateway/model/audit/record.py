"""One record of the audit log: its values, and the octets that are hashed.

The octets are canonical JSON: sorted keys, no blanks, UTF-8, no floating-point numbers. They are an entry of a Merkle
tree (RFC 9162) as they are. A personal value is not in them, but its commitment: SHA-256(salt || UTF-8 of the value)
with a salt of 16 random octets. Without value and salt the commitment says nothing, so both can be deleted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Literal

from gateway.model.audit.actor import ActorKind
from gateway.model.audit.acts import Scalar

FORMAT: Final = 1
SALT_OCTETS: Final = 16
Result = Literal["begun", "done", "failed"]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """`number` counts from 1 without gaps; the record is leaf `number - 1` of the tree.

    `result`: `begun` before an act on files, mail or the network, then `done` or `failed`. `reason`: of a failed act.
    `actor`: the name of a client or program; '' of a user, whose name is a personal value. `object_id`: '' where the id
    is a personal value. `commitments`: of personal values, by field, as hexadecimal digits.
    """

    number: int
    at: datetime
    act: str
    result: Result
    reason: str
    actor_kind: ActorKind
    actor: str
    credential: str
    object_kind: str
    object_id: str
    details: Mapping[str, Scalar] = field(default_factory=dict)
    commitments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PersonalValue:
    """A value with the salt of its commitment (hexadecimal digits)."""

    value: str
    salt: str

    @property
    def commitment(self) -> str:
        """SHA-256 of salt and value, as hexadecimal digits."""
        return sha256(bytes.fromhex(self.salt) + self.value.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A record with its octets and those personal values that have not been deleted."""

    record: AuditRecord
    octets: bytes
    values: Mapping[str, PersonalValue]

    @property
    def actor(self) -> str:
        """The actor's name; '(deleted)' once it is."""
        return self.record.actor or self._value("actor")

    @property
    def object_id(self) -> str:
        """The object's id; '(deleted)' once it is."""
        return self.record.object_id or ("" if "object" not in self.record.commitments else self._value("object"))

    def _value(self, name: str) -> str:
        return self.values[name].value if name in self.values else "(deleted)"


def packed(record: AuditRecord) -> bytes:
    """The octets of a record."""
    actor: dict[str, Any] = {"kind": record.actor_kind}
    if record.actor:
        actor["name"] = record.actor
    if record.credential:
        actor["credential"] = record.credential
    content: dict[str, Any] = {
        "v": FORMAT, "number": record.number, "at": _time(record.at), "act": record.act, "result": record.result,
        "actor": actor, "object": {"kind": record.object_kind, "id": record.object_id},
        "details": dict(record.details), "personal": dict(record.commitments)}
    if record.reason:
        content["reason"] = record.reason
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def unpacked(octets: bytes) -> AuditRecord:
    """The way back. ValueError unless `octets` are exactly what `packed` makes of the record."""
    try:
        content = json.loads(octets)
        record = AuditRecord(
            content["number"], datetime.fromisoformat(content["at"]), content["act"], content["result"],
            content.get("reason", ""), content["actor"]["kind"], content["actor"].get("name", ""),
            content["actor"].get("credential", ""), content["object"]["kind"], content["object"]["id"],
            content["details"], content["personal"])
        again = packed(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
    if again != octets:
        message = "the octets are not in canonical form"
        raise ValueError(message)
    return record


def exported(entry: AuditEntry) -> dict[str, Any]:
    """One line of the export: the record as it is hashed, and under `values` what has not been deleted."""
    content: dict[str, Any] = json.loads(entry.octets)
    content["values"] = {name: {"value": one.value, "salt": one.salt} for name, one in sorted(entry.values.items())}
    return content


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
