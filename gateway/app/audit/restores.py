"""What a backup says of the audit log, and what the record of its restore says of the log before it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.adapters.db.audit import octets_of
from gateway.adapters.db.engine.database import Connection
from gateway.errors import GatewayError, Reason
from gateway.evidence.checkpoint import Head, NoteKey, is_signed_by, parsed
from gateway.evidence.merkle import MerkleTree
from gateway.model.audit.acts import Act


def described(connection: Connection, origin: str) -> dict[str, str | int]:
    """The head of the audit log as the backup holds it, for the manifest."""
    tree = MerkleTree()
    for octets in octets_of(connection):
        tree.append(octets)
    return {"origin": origin, "size": tree.size, "root": tree.root.hex()}


def restore_act(source: Path, manifest: Mapping[str, Any], note: str | None, key: NoteKey | None) -> Act:
    """The act for the audit log. `note`: the last exported head of the log before; it may be longer than the backup.

    A backup from before the audit log has no head. GatewayError INPUT_MALFORMED, USAGE if the head does not fit.
    """
    there = manifest.get("audit")
    head = None
    if there is not None:
        head = Head(str(there["origin"]), int(there["size"]), bytes.fromhex(str(there["root"])))
    if note is not None:
        exported = parsed(note)
        if key is not None and not is_signed_by(note, key):
            raise GatewayError(Reason.USAGE, "the head is not signed by `audit.key`: it was changed, or the key is "
                               "another one")
        if head is None or exported.origin != head.origin or exported.size < head.size:
            raise GatewayError(Reason.USAGE, "the head is not of the log of this backup, or is older than the backup. "
                               "Name the last head that was exported before the database was lost")
        head = exported
    if head is None:
        return Act("backup.restore", str(source), {"made_at": str(manifest["made_at"])})
    return Act("backup.restore", str(source), {
        "made_at": str(manifest["made_at"]), "origin": head.origin, "head_size": head.size,
        "head_root": head.root.hex(), "size": int(there["size"]) if there is not None else 0})
