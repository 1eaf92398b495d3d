"""The Merkle tree and its heads. Truth: RFC 9162 2.1.1 written down as it is defined; openssl for Ed25519."""

import base64
import subprocess
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.errors import GatewayError, Reason
from gateway.evidence.checkpoint import Head, NoteKey, is_signed, is_signed_by, parsed, signed
from gateway.evidence.merkle import EMPTY, MerkleTree

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = NoteKey("mail.bank.example/sealgate/audit", PRIVATE.public_key().public_bytes_raw())
HEAD = Head("sealgate/audit/00ff", 17, sha256(b"root").digest())


def defined(entries: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    half = 1
    while half * 2 < len(entries):
        half *= 2
    return sha256(b"\1" + defined(entries[:half]) + defined(entries[half:])).digest()


def test_the_root_is_that_of_the_definition_at_every_size() -> None:
    tree, entries = MerkleTree(), list[bytes]()
    assert tree.root == EMPTY
    for number in range(70):
        entries.append(b"%d" % number)
        tree.append(entries[-1])
        assert (tree.size, tree.root) == (len(entries), defined(entries))


def test_a_root_of_certificate_transparency() -> None:
    """Known answer: the tree of one empty entry, as in the test data of certificate-transparency-go."""
    tree = MerkleTree()
    tree.append(b"")
    assert tree.root.hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_a_signed_head_is_read_back_and_verified() -> None:
    note = signed(HEAD, KEY, PRIVATE.sign)
    assert note.startswith("sealgate/audit/00ff\n17\n")
    assert parsed(note) == HEAD == parsed(HEAD.text)
    assert is_signed(note)
    assert is_signed_by(note, KEY)
    assert not is_signed(HEAD.text)
    assert not is_signed_by(HEAD.text, KEY)
    assert not is_signed_by(note, NoteKey(KEY.name, bytes(32)))


def test_every_changed_bit_of_a_signed_head_is_found() -> None:
    octets = signed(HEAD, KEY, PRIVATE.sign).rstrip("\n").encode()
    for bit in range(len(octets) * 8):
        changed = bytearray(octets)
        changed[bit // 8] ^= 1 << bit % 8
        note = changed.decode("utf-8", "replace")
        try:
            is_good = is_signed_by(note, KEY) and parsed(note) == HEAD
        except GatewayError:
            is_good = False
        assert not is_good, bit


def test_signatures_of_witnesses_are_ignored() -> None:
    note = signed(HEAD, KEY, PRIVATE.sign)
    lines = note.splitlines(keepends=True)
    assert is_signed_by("".join([*lines[:4], "\u2014 witness.example AAAAAA==\n", *lines[4:]]), KEY)


@pytest.mark.parametrize("text", ["", "a\nb\n", "a\n-1\nAAAA\n", f"{HEAD.text}more\n", HEAD.text.replace("17", "017"),
                                  HEAD.text.replace("sealgate/audit/00ff", "")])
def test_what_is_no_head_is_refused(text) -> None:
    with pytest.raises(GatewayError) as caught:
        parsed(text)
    assert caught.value.reason is Reason.INPUT_MALFORMED


def test_openssl_verifies_the_signature(tmp_path) -> None:
    note = signed(HEAD, KEY, PRIVATE.sign)
    text, _, line = note.partition("\n\n")
    (tmp_path / "text").write_text(f"{text}\n")
    (tmp_path / "signature").write_bytes(base64.b64decode(line.split()[-1])[4:])
    (tmp_path / "key").write_bytes(PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "text", "-sigfile",
                    "signature"], cwd=tmp_path, check=True, capture_output=True)
