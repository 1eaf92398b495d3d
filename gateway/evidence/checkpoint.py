"""Heads of a log as C2SP checkpoints: a text of origin, size and root, with Ed25519 signatures (C2SP signed-note).

A checkpoint ends with an empty line and signature lines. Without them it is an unsigned head: its keeper vouches
for it. Signatures by other keys (of witnesses) are ignored.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.errors import GatewayError, Reason

_ED25519: Final = b"\x01"  # the algorithm's octet in key ids and verifier keys
_ROOT_OCTETS: Final = 32
NOTE_CHARACTERS_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Head:
    """`origin` names the log; `root` of its first `size` entries."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class NoteKey:
    """The public key of a log. `public`: 32 octets."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Four octets by which a signature line names its key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def verifier(self) -> str:
        """The key as C2SP programs read it."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


def signed(head: Head, key: NoteKey, sign: Callable[[bytes], bytes]) -> str:
    """The checkpoint. `sign`: an Ed25519 signature over octets, by the private key of `key`."""
    signature = base64.b64encode(key.id + sign(head.text.encode())).decode()
    return f"{head.text}\n\u2014 {key.name} {signature}\n"


def parsed(note: str) -> Head:
    """The head of a checkpoint, signed or not. GatewayError INPUT_MALFORMED."""
    lines = note[:NOTE_CHARACTERS_MAX].partition("\n\n")[0].rstrip("\n").split("\n")
    try:
        origin, size, root = lines
        head = Head(origin, int(size), base64.b64decode(root, validate=True))
        is_valid = bool(origin) and len(head.root) == _ROOT_OCTETS and head.text.rstrip("\n") == "\n".join(lines)
    except (ValueError, binascii.Error):
        is_valid = False
    if not is_valid:
        raise GatewayError(Reason.INPUT_MALFORMED, "this is not a head of the audit log: it has no lines with origin, "
                           "size and root. Use the output of `sealgate audit head`")
    return head


def is_signed(note: str) -> bool:
    """Whether there is any signature line."""
    return "\n\n\u2014 " in note


def is_signed_by(note: str, key: NoteKey) -> bool:
    """Whether one of the signature lines is a valid signature by this key."""
    text, _, lines = note.partition("\n\n")
    for line in lines.splitlines():
        octets = _signature(line, key)
        if octets is not None:
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(octets, f"{text}\n".encode())
            except InvalidSignature:
                continue
            return True
    return False


def _signature(line: str, key: NoteKey) -> bytes | None:
    start = f"\u2014 {key.name} "
    if not line.startswith(start):
        return None
    encoded = line.removeprefix(start)
    try:
        octets = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    if octets[:4] != key.id or base64.b64encode(octets).decode() != encoded:
        return None
    return octets[4:]
