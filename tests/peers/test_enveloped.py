"""EnvelopedData and AuthEnvelopedData against other programs, both ways.

Truth: what we encrypt is decrypted by openssl, NSS cmsutil, gpgsm and Bouncy Castle with the recipient's key, and the
other way round. What a peer does not know stands in a table with the reason, and is itself held.
"""

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError, Reason
from tests.support.ours import Ours
from tests.support.peer_bc import BouncyCastle
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import Peer, PeerRefused, Sealing
from tests.support.pki import Pki

CONTENT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nYour code is in here.\r\n" * 30
PEERS = ("openssl", "bouncycastle", "nss", "gpgsm")
CIPHERS = ("aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm")
KEYS = (("rsa-2048", "pkcs1"), ("rsa-3072", "pkcs1"), ("rsa-2048", "oaep-sha256"), ("p-256", "sha256"),
        ("p-384", "sha384"), ("p-521", "sha512"))


def why_not_read(name: str, algorithm: str, wrap: str, cipher: str) -> str | None:
    """Why this peer cannot decrypt this, or None."""
    if cipher.endswith("gcm") and name == "nss":
        return "NSS 3.110 does not know AuthEnvelopedData (SEC_ERROR_UNRECOGNIZED_OID)"
    if cipher.endswith("gcm") and name == "gpgsm":
        return "gpgsm 2.4 finds no IV in GCM's parameters (Buffer too short)"
    if wrap.startswith("oaep") and name == "gpgsm":
        return "gpgsm 2.4 decrypts PKCS#1 v1.5 only"
    return None


# What peers write, beyond the common keys: OAEP with other hashes, a KDF that does not fit the curve.
MORE_KEYS = (*KEYS, ("rsa-2048", "oaep-sha1"), ("rsa-2048", "oaep-sha384"), ("rsa-2048", "oaep-sha512"),
             ("p-384", "sha256"), ("p-256", "sha512"), ("p-521", "sha256"))
OTHER_MASKS = ("oaep-sha256-mgf1-sha1", "oaep-sha512-mgf1-sha1", "oaep-sha1-mgf1-sha256")  # the first: Java's default
THEIRS = [
    *((name, "rsa-2048", wrap, "aes256-cbc") for name in ("openssl", "bouncycastle") for wrap in OTHER_MASKS),
    *(("openssl", *key, cipher) for key in MORE_KEYS for cipher in CIPHERS),
    *(("bouncycastle", *key, cipher) for key in MORE_KEYS for cipher in CIPHERS),
    # cmsutil chooses cipher and KDF itself; the names are for the test's own
    *(("nss", *key, "aes256-cbc") for key in KEYS if not key[1].startswith("oaep")),
    # gpgsm writes PKCS#1 and CBC
    *(("gpgsm", *key, cipher) for key in KEYS if not key[1].startswith("oaep")
      for cipher in ("aes128-cbc", "aes256-cbc")),
]


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("algorithm, wrap", KEYS)
@pytest.mark.parametrize("name", PEERS)
def test_what_we_encrypt_is_decrypted(name: str, algorithm: str, wrap: str, cipher: str, pki: Pki, ours: Ours,
                                      peer: Callable[[str], Peer]) -> None:
    reader = peer(name)
    person = pki.recipient(algorithm)
    cms = ours.encrypt(CONTENT, (person,), Sealing(cipher, wrap))
    assert CONTENT[:40] not in cms
    if why_not_read(name, algorithm, wrap, cipher):
        with pytest.raises(PeerRefused):
            reader.decrypt(cms, person)
        return
    assert reader.decrypt(cms, person) == CONTENT


@pytest.mark.parametrize("name, algorithm, wrap, cipher", THEIRS)
def test_what_they_encrypt_is_decrypted_here(name: str, algorithm: str, wrap: str, cipher: str, pki: Pki, ours: Ours,
                                             peer: Callable[[str], Peer]) -> None:
    person = pki.recipient(algorithm)
    assert ours.decrypt(peer(name).encrypt(CONTENT, (person,), Sealing(cipher, wrap)), person) == CONTENT


@pytest.mark.parametrize("algorithm, wrap", KEYS)
@pytest.mark.parametrize("name", ["openssl", "bouncycastle"])
def test_indefinite_length_is_read(name: str, algorithm: str, wrap: str, pki: Pki, ours: Ours,
                                   peer: Callable[[str], Peer]) -> None:
    person = pki.recipient(algorithm)
    cms = peer(name).encrypt(CONTENT * 40, (person,), Sealing("aes256-cbc", wrap, stream=True))
    assert cms[:2] == b"\x30\x80", "the peer was to write indefinite length"
    assert ours.decrypt(cms, person) == CONTENT * 40


# X25519 (RFC 8418): openssl 3.5, NSS 3.110 and gpgsm 2.4 do not know it as a recipient's key, nor does Bouncy Castle
# 1.80's CMS; so its primitives and ASN.1 classes are put together by the RFC (tests/support/java/X25519.java).


@pytest.mark.parametrize("cipher", CIPHERS)
def test_x25519_by_bouncy_castles_primitives(cipher: str, pki: Pki, ours: Ours, bc: BouncyCastle) -> None:
    person = pki.recipient("x25519")
    assert bc.decrypt_x25519(ours.encrypt(CONTENT, (person,), Sealing(cipher, "")), person) == CONTENT


@pytest.mark.parametrize("how", ["hkdf", "hkdf ukm", "x963", "x963 ukm"])
def test_x25519_from_bouncy_castles_primitives(how: str, pki: Pki, ours: Ours, bc: BouncyCastle) -> None:
    person = pki.recipient("x25519")
    assert ours.decrypt(bc.encrypt_x25519(CONTENT, person, how), person) == CONTENT


@pytest.mark.parametrize("name", ["openssl", "bouncycastle"])
def test_x25519_is_still_unknown_to_others(name: str, pki: Pki, ours: Ours, peer: Callable[[str], Peer]) -> None:
    person = pki.recipient("x25519")
    with pytest.raises(PeerRefused):
        peer(name).decrypt(ours.encrypt(CONTENT, (person,), Sealing("aes256-cbc", "")), person)


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
@pytest.mark.parametrize("name", PEERS)
def test_recipients_of_every_kind_in_one_message(name: str, cipher: str, pki: Pki, ours: Ours,
                                                 peer: Callable[[str], Peer]) -> None:
    """Each finds its own RecipientInfo among those it does not know (X25519 with HKDF)."""
    reader = peer(name)
    people = tuple(pki.recipient(kind) for kind in ("x25519", "p-521", "p-256", "rsa-2048", "p-384", "rsa-3072"))
    cms = ours.encrypt(CONTENT, people, Sealing(cipher, "pkcs1"))
    for person in people:
        if person is people[0] or why_not_read(name, "", "pkcs1", cipher):
            continue
        assert reader.decrypt(cms, person) == CONTENT, person.name


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
@pytest.mark.parametrize("name", ["openssl", "bouncycastle"])
def test_their_message_to_several(name: str, cipher: str, pki: Pki, ours: Ours, peer: Callable[[str], Peer]) -> None:
    people = tuple(pki.recipient(kind) for kind in ("rsa-2048", "rsa-3072"))
    cms = peer(name).encrypt(CONTENT, people, Sealing(cipher, "pkcs1"))
    for person in people:
        assert ours.decrypt(cms, person) == CONTENT
    with pytest.raises(GatewayError) as refused:
        ours.decrypt(cms, pki.recipient("rsa-2048", email="somebody.else@customer.example", which=7))
    assert refused.value.reason is Reason.DECRYPTION_NO_KEY


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 127, 128, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_every_length_of_content(cipher: str, size: int, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    """Padding at each end of a block; DER lengths change their form at 128, 256 and 65,536."""
    person = pki.recipient("p-256")
    content = (b"0123456789abcdef\r\n" * (size // 18 + 1))[:size]
    assert openssl.decrypt(ours.encrypt(content, (person,), Sealing(cipher, "pkcs1")), person) == content
    assert ours.decrypt(openssl.encrypt(content, (person,), Sealing(cipher, "sha256")), person) == content
