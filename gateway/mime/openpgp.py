"""The shapes of OpenPGP recognised by their packets (RFC 9580, RFC 4880, RFC 3156), never by a label.

Nothing is decrypted or verified: `is_encrypted` and `is_signature` say whether armoured octets hold an encrypted
message or a detached signature, and nothing else. Tag 20 is the OCB packet of RFC 4880bis, which GnuPG writes.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.mime.transfer import decode_base64, is_exact

# RFC 9580 6.2. The checksum is not compared: a reader must not reject a message for it (6.1).
_ARMOUR: Final = re.compile(
    rb"\s*-----BEGIN PGP (MESSAGE|SIGNATURE)-----[ \t]*\r?\n"
    rb"(?:(?:Version|Comment|MessageID|Hash|Charset): [^\r\n]{0,200}\r?\n){0,16}"
    rb"[ \t]*\r?\n"
    rb"((?:[A-Za-z0-9+/]+={0,2}[ \t]*\r?\n)+)"
    rb"(?:=[A-Za-z0-9+/]{4}[ \t]*\r?\n)?"
    rb"-----END PGP \1-----\s*")
_SESSION_KEYS: Final = {1: frozenset({3, 6}), 3: frozenset({4, 5, 6})}  # RFC 9580 5.1, 5.3: tag and versions
_ENCRYPTED: Final = {18: frozenset({1, 2}), 20: frozenset({1})}  # RFC 9580 5.13
_SIGNATURE: Final = {2: frozenset({3, 4, 5, 6})}  # RFC 9580 5.2
_ENCRYPTED_OCTETS_MIN: Final = 22  # what a modification detection code or an authentication tag and its nonce take
_OLD_LENGTHS: Final = {0: 1, 1: 2, 2: 4}
_PARTIAL: Final = 224
_FOUR_OCTETS: Final = 255


def is_encrypted(armoured: bytes) -> bool:
    """Whether this is one armoured encrypted message: session keys, then one integrity protected packet."""
    packets = _packets(armoured, b"MESSAGE")
    if packets is None or len(packets) < 2:
        return False
    *keys, (tag, version, size) = packets
    return (all(version in _SESSION_KEYS.get(tag, ()) for tag, version, _ in keys)
            and version in _ENCRYPTED.get(tag, ()) and size >= _ENCRYPTED_OCTETS_MIN)


def is_signature(armoured: bytes) -> bool:
    """Whether this is an armoured detached signature: signature packets, at least one, and nothing else."""
    packets = _packets(armoured, b"SIGNATURE")
    return bool(packets) and all(version in _SIGNATURE.get(tag, ()) for tag, version, _ in packets or ())


def _packets(armoured: bytes, label: bytes) -> list[tuple[int, int, int]] | None:
    """(tag, version octet, octets) of each packet; None for what is not exactly one armour of whole packets."""
    found = _ARMOUR.fullmatch(armoured)
    if found is None or found[1] != label or not is_exact(found[2], 0, len(found[2]), "base64"):
        return None
    try:
        return list(_read(decode_base64(found[2])))
    except (IndexError, ValueError):
        return None


def _read(octets: bytes) -> Iterator[tuple[int, int, int]]:
    """Each packet of `octets` (RFC 9580 4.2). Raises ValueError or IndexError where they are no whole packets."""
    position = 0
    while position < len(octets):
        head = octets[position]
        if not head & 0x80:
            raise ValueError("no packet begins here")
        if head & 0x40:
            tag = head & 0x3F
            start, end, size = _new_format(octets, position + 1, may_be_partial=tag in _ENCRYPTED)
        else:
            tag, width = head >> 2 & 0x0F, _OLD_LENGTHS.get(head & 3)
            if width is None:
                raise ValueError("a packet of indeterminate length")
            start = position + 1 + width
            size = int.from_bytes(octets[position + 1:start], "big")
            end = start + size
        if end > len(octets) or not size:
            raise ValueError("a packet that is cut off")
        yield tag, octets[start], size
        position = end


def _new_format(octets: bytes, position: int, *, may_be_partial: bool) -> tuple[int, int, int]:
    """(start of the first content, end, octets of content) of the packet whose length begins at `position`."""
    total, first = 0, None
    while True:
        one = octets[position]
        is_partial = _PARTIAL <= one < _FOUR_OCTETS
        if one < 192:
            start, size = position + 1, one
        elif one < _PARTIAL:
            start, size = position + 2, ((one - 192) << 8) + octets[position + 1] + 192
        elif is_partial and may_be_partial:
            start, size = position + 1, 1 << (one & 0x1F)
        elif one == _FOUR_OCTETS:
            start, size = position + 5, int.from_bytes(octets[position + 1:position + 5], "big")
        else:
            raise ValueError("a partial length where none may be")
        first = start if first is None else first
        total += size
        position = start + size
        if not is_partial:
            return first, position, total
