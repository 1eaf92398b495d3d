"""Verifies the whole audit log: each record alone, and all of them against heads that were taken before.

1. The triggers are there, and numbers follow each other without gaps.
2. The octets of each record are canonical, and the columns by which it is searched say the same.
3. Each personal value that has not been deleted belongs to its commitment.
4. The root over the first n records is that of each head of size n: heads that the database keeps count if they are
   signed by the key of the settings; a head of a file counts as it is, because its keeper vouches for it.
5. Heads of a database before a restore count up to the restore; beyond it, the restore's record must name them.

A change that goes unnoticed must be made by someone who can change the database, and must come after the last head
that was taken to another place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.adapters.db.tables.mail import moment
from gateway.errors import GatewayError
from gateway.evidence.checkpoint import Head, NoteKey, is_signed, is_signed_by, parsed
from gateway.evidence.merkle import MerkleTree
from gateway.model.audit.record import AuditRecord, unpacked
from gateway.ports.audit import AuditLog, StoredRecord

PROBLEMS_MAX = 100  # reported one by one
RESTORE = "backup.restore"


@dataclass(slots=True)
class Verification:
    """`head`: of the log as it is. `heads`: how many were compared. `notes`: what is good to know and no problem."""

    head: Head
    heads: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, problem: str) -> None:
        """One more problem; after PROBLEMS_MAX they are not listed any more."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class _Restore:
    """A restore that the log has recorded: the log before it, as an exported head or the backup described it."""

    number: int
    origin: str
    head_size: int
    head_root: str


def verify(log: AuditLog, key: NoteKey | None, exported: Sequence[str] = ()) -> Verification:
    """`key`: of `audit.key`; None: no signature is verified. `exported`: notes that were kept in another place.

    GatewayError INPUT_MALFORMED if one of them is no head, STORE_UNAVAILABLE (retry).
    """
    exported_heads = [(parsed(note), note) for note in exported]
    stored_heads = log.heads()
    sizes = {head.size for head, _ in exported_heads} | {size for size, _ in stored_heads}
    tree, roots, restores = MerkleTree(), dict[int, bytes](), list[_Restore]()
    result = Verification(Head(log.origin(), 0, tree.root))
    for trigger in log.missing_triggers():
        result.report(f"the trigger {trigger} was removed or disabled: the database does not refuse changes")
    number = 0
    for record in log.stored():
        if record.number != number + 1:
            result.report(f"records {number + 1} to {record.number - 1} are missing" if record.number > number + 1
                          else f"record {record.number} is there twice")
        number = record.number
        content = _examined(record, result)
        if content is not None and (content.act, content.result) == (RESTORE, "done"):
            restores.append(_restore(content))
        tree.append(record.octets)
        if tree.size in sizes:
            roots[tree.size] = tree.root
    result.head = Head(result.head.origin, tree.size, tree.root)
    good = 0
    for size, note in stored_heads:
        good = _compare_stored(result, roots, size, note, key, good)
    for head, note in exported_heads:
        if is_signed(note) and key is not None and not is_signed_by(note, key):
            result.report(f"the head of size {head.size} is not signed by `audit.key`: it was changed, or is of "
                          "another log")
        _compare_exported(result, roots, head, restores)
    return result


def _examined(stored: StoredRecord, result: Verification) -> AuditRecord | None:
    """Steps 2 and 3."""
    number = stored.number
    try:
        record = unpacked(stored.octets)
    except ValueError as error:
        result.report(f"record {number} was changed: {error}")
        return None
    expected: Mapping[str, object] = {
        "act": record.act, "result": record.result, "actor_kind": record.actor_kind, "actor": record.actor,
        "object_id": record.object_id, "at": record.at}
    columns = dict(stored.columns) | {"at": moment(int(stored.columns["at"]))}
    if record.number != number:
        result.report(f"record {number} was changed: its octets are those of record {record.number}")
    for name, value in expected.items():
        if columns[name] != value:
            result.report(f"record {number} was changed: the column `{name}` is not what its octets say")
    for name, personal in stored.values.items():
        if record.commitments.get(name) != personal.commitment:
            result.report(f"record {number}: the value of `{name}` was changed: it does not belong to its commitment")
    return record


def _restore(record: AuditRecord) -> _Restore:
    details = record.details
    return _Restore(record.number, str(details.get("origin", "")), int(details.get("head_size", 0)),
                    str(details.get("head_root", "")))


def _compare_stored(result: Verification, roots: Mapping[int, bytes], size: int, note: str, key: NoteKey | None,
                    good: int) -> int:
    """One head of the database; the size of the last one that is right."""
    try:
        head = parsed(note)
    except GatewayError:
        result.report(f"the kept head of size {size} was changed")
        return good
    if head.size != size or (key is not None and not is_signed_by(note, key)):
        result.report(f"the kept head of size {size} was changed: it is not signed by `audit.key`")
        return good
    result.heads += 1
    if size > result.head.size:
        result.report(f"records {result.head.size + 1} to {size} were cut off: there is a signed head of size {size}")
    elif roots.get(size) != head.root:
        result.report(f"a record between {good + 1} and {size} was changed, removed or inserted")
    else:
        return size
    return good


def _compare_exported(result: Verification, roots: Mapping[int, bytes], head: Head,
                      restores: Sequence[_Restore]) -> None:
    result.heads += 1
    restore = None
    if head.origin != result.head.origin:
        restore = next((one for one in restores if one.origin == head.origin), None)
        if restore is None:
            result.report(f"the head is of another log ({head.origin}), and no record of a restore names that log")
            return
    if restore is not None and head.size >= restore.number:
        lost = f"records {restore.number} to {head.size} of the log before the restore (record {restore.number})"
        if restore.head_size < head.size:
            result.report(f"{lost} are not there, and the restore does not name them")
        elif restore.head_size == head.size and restore.head_root != head.root.hex():
            result.report(f"{lost}: the restore names another root")
        else:
            result.notes.append(f"{lost} are lost, as the restore recorded")
    elif head.size > result.head.size:
        result.report(f"records {result.head.size + 1} to {head.size} were cut off: the head has size {head.size}")
    elif roots.get(head.size, result.head.root if head.size == result.head.size else None) != head.root:
        result.report(f"a record up to {head.size} was changed, removed or inserted after that head was taken")
