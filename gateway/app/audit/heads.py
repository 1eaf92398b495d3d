"""Heads of the audit log: computed from all records, and signed by a key that is not in the database."""

from typing import Final

from gateway.adapters.keys.files import AUDIT_KEY, FileKeys, KeyFile
from gateway.errors import GatewayError, Reason
from gateway.evidence.checkpoint import Head, NoteKey, signed
from gateway.evidence.merkle import MerkleTree
from gateway.model.scheme import SignScheme
from gateway.ports.audit import AuditLog
from gateway.settings import Settings

_SPKI: Final = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 4: the header of the 32 octets of Ed25519


class HeadSigner:
    """Signs heads with `audit.key` of the settings."""

    def __init__(self, settings: Settings) -> None:
        """GatewayError KEY_UNAVAILABLE (retry), CONFIG_INVALID if the key is not an Ed25519 key."""
        path = settings.audit.key
        if path is None:
            raise GatewayError(Reason.CONFIG_INVALID, "`audit.key` is not set in the settings. Generate one with "
                               "`sealgate key generate audit --algorithm ed25519`")
        self._keys = FileKeys([KeyFile(AUDIT_KEY, path, "audit", settings.audit.passphrase_file)])
        public = self._keys.public(AUDIT_KEY).public
        if not public.startswith(_SPKI):
            raise GatewayError(Reason.CONFIG_INVALID, f"`audit.key`: {path} is not an Ed25519 key. Generate one with "
                               "`sealgate key generate audit --algorithm ed25519`")
        self.key = NoteKey(f"{settings.bank.hostname}/sealgate/audit", public.removeprefix(_SPKI))

    def sign(self, head: Head) -> str:
        """The head as a signed note."""
        return signed(head, self.key, lambda octets: self._keys.sign(AUDIT_KEY, SignScheme.ED25519, octets))


def signer(settings: Settings) -> HeadSigner | None:
    """None if the settings name no key."""
    return None if settings.audit.key is None else HeadSigner(settings)


def present_head(log: AuditLog) -> Head:
    """The head of all records."""
    tree = MerkleTree()
    for record in log.stored():
        tree.append(record.octets)
    return Head(log.origin(), tree.size, tree.root)


def take_head(settings: Settings, log: AuditLog) -> tuple[Head, str]:
    """The head and its note. A signed one is kept in the database, too: `audit verify` compares all of them."""
    by = signer(settings)
    head = present_head(log)
    if by is None:
        return head, head.text
    note = by.sign(head)
    if head.size:
        log.add_head(head.size, note)
    return head, note
