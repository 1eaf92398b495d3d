"""SignedData against other programs, both ways, for every algorithm that both sides know.

Truth: the verdict of openssl, NSS cmsutil, gpgsm and Bouncy Castle on what we write, and ours on what they write.
What a peer does not know stands in a table with the reason, and is itself held: should a later version learn it,
the test says so.
"""

import itertools
from collections.abc import Callable

import pytest

from gateway.model.scheme import SignScheme
from tests.support.ours import Ours, algorithm_of
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import Peer, PeerRefused, Signing
from tests.support.pki import Pki

CONTENT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nPlease pay nothing to anybody.\r\n" * 30
PEERS = ("openssl", "bouncycastle", "nss", "gpgsm")

# Who cannot read what, and why.
CANNOT_READ = {
    ("nss", SignScheme.ED25519): "NSS 3.110 has no EdDSA in its CMS engine (SEC_ERROR_INVALID_KEY)",
    ("gpgsm", SignScheme.ED25519): "gpgsm 2.4 hashes before EdDSA (internal error in its hash encoding)",
}

# Who can write what. All write opaque and detached.
PKCS1 = (SignScheme.RSA_PKCS1_SHA256, SignScheme.RSA_PKCS1_SHA384, SignScheme.RSA_PKCS1_SHA512)
PSS = (SignScheme.RSA_PSS_SHA256, SignScheme.RSA_PSS_SHA384, SignScheme.RSA_PSS_SHA512)
ECDSA = (SignScheme.ECDSA_SHA256, SignScheme.ECDSA_SHA384, SignScheme.ECDSA_SHA512)
CAN_WRITE = {
    "openssl": (*PKCS1, *PSS, *ECDSA),  # Ed25519: `cms -sign` 3.5 knows no digest for it
    "bouncycastle": tuple(SignScheme),
    "nss": (*PKCS1, *ECDSA),  # cmsutil has no option for PSS; pk12util takes no Ed25519 key
    "gpgsm": (*PKCS1, *ECDSA),  # gpgsm writes PKCS#1 for RSA; its PKCS#12 import takes no Ed25519 key
}


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
@pytest.mark.parametrize("scheme", list(SignScheme))
@pytest.mark.parametrize("name", PEERS)
def test_what_we_sign_is_verified(name: str, scheme: SignScheme, detached: bool, pki: Pki, ours: Ours,
                                  peer: Callable[[str], Peer]) -> None:
    reader = peer(name)
    person = pki.signer(algorithm_of(scheme))
    cms = ours.sign(CONTENT, person, Signing(scheme, detached), encrypt_to=pki.recipient("rsa-2048"))
    if (name, scheme) in CANNOT_READ:
        with pytest.raises(PeerRefused):
            reader.verify(cms, CONTENT if detached else None, pki)
        return
    assert reader.verify(cms, CONTENT if detached else None, pki) == CONTENT
    altered = CONTENT.replace(b"nothing", b"million")
    if detached:
        with pytest.raises(PeerRefused):  # that the peer looks at all
            reader.verify(cms, altered, pki)


@pytest.mark.parametrize("name, scheme, detached", [
    (name, scheme, detached) for name in PEERS for scheme in CAN_WRITE[name] for detached in (True, False)])
def test_what_they_sign_is_verified_here(name: str, scheme: SignScheme, detached: bool, pki: Pki, ours: Ours,
                                         peer: Callable[[str], Peer]) -> None:
    cms = peer(name).sign(CONTENT, pki.signer(algorithm_of(scheme)), Signing(scheme, detached))
    assert ours.verify(cms, CONTENT if detached else None, pki) == CONTENT
    if detached:
        with pytest.raises(PeerRefused):
            ours.verify(cms, CONTENT + b"more", pki)


@pytest.mark.parametrize("name, scheme, detached", [
    # openssl streams only with the content inside, and fails to write PSS that way (illegal zero content)
    *(("openssl", scheme, False) for scheme in (*PKCS1, *ECDSA)),
    *(("bouncycastle", scheme, detached) for scheme in SignScheme for detached in (True, False)),
])
def test_indefinite_length_is_read(name: str, scheme: SignScheme, detached: bool, pki: Pki, ours: Ours,
                                   peer: Callable[[str], Peer]) -> None:
    cms = peer(name).sign(CONTENT, pki.signer(algorithm_of(scheme)), Signing(scheme, detached, stream=True))
    assert b"\x30\x80" in cms[:2], "the peer was to write indefinite length"
    assert ours.verify(cms, CONTENT if detached else None, pki) == CONTENT


@pytest.mark.parametrize("scheme", list(SignScheme))
def test_signing_certificate_is_held_by_openssl(scheme: SignScheme, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    """`-cades` demands signingCertificateV2 and compares it with the signer (RFC 5035)."""
    cms = ours.sign(CONTENT, pki.signer(algorithm_of(scheme)), Signing(scheme))
    assert openssl.verify(cms, CONTENT, pki, cades=True) == CONTENT


def test_openssl_misses_the_signing_certificate_where_there_is_none(pki: Pki, openssl: OpenSsl) -> None:
    """The check above would pass if `-cades` did nothing."""
    person = pki.signer("rsa-2048")
    cms = openssl.sign(CONTENT, person, Signing(SignScheme.RSA_PKCS1_SHA256))
    with pytest.raises(PeerRefused):
        openssl.verify(cms, CONTENT, pki, cades=True)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1_000_000])
def test_every_length_of_content(size: int, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    """DER lengths change their form at 128, 256 and 65,536."""
    content = bytes(itertools.islice(itertools.cycle(b"0123456789abcdef\r\n"), size))
    cms = ours.sign(content, pki.signer("p-256"), Signing(SignScheme.ECDSA_SHA256, detached=False))
    assert openssl.verify(cms, None, pki) == content
    assert ours.verify(cms, None, pki) == content
