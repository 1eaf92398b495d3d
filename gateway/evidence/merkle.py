"""A Merkle tree that grows (RFC 9162 2.1): its root, from the entries in their order.

Only the roots of complete subtrees are kept, at most one for each bit of the size: a million entries need 20 of them.
"""

from hashlib import sha256
from typing import Final

EMPTY: Final = sha256(b"").digest()  # RFC 9162 2.1.1: the root of a tree without entries


class MerkleTree:
    """`size` is the number of entries."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []  # roots, the largest subtree first

    def append(self, entry: bytes) -> None:
        """Adds an entry at the end."""
        node, size = sha256(b"\0" + entry).digest(), self.size
        while size & 1:
            node = _parent(self._subtrees.pop(), node)
            size >>= 1
        self._subtrees.append(node)
        self.size += 1

    @property
    def root(self) -> bytes:
        """SHA-256, 32 octets."""
        if not self._subtrees:
            return EMPTY
        node = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            node = _parent(left, node)
        return node


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
