"""The gateway's own CMS writer and reader in the shape of a peer, so that a matrix treats all alike."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.cms import enveloped, enveloped_reader, signed, signed_reader
from gateway.cms.algorithms import ContentCipher, KeyTransport
from gateway.model.scheme import SignScheme
from tests.support.peers import PeerRefused, Sealing, Signing
from tests.support.pki import CertificateKey, Person, Pki


class Ours:
    """See peers.Peer. `verify` holds form, attributes and arithmetic; paths are judged by `pki`, not by `cms`."""

    name = "sealgate"

    def verify(self, cms: bytes, detached: bytes | None, pki: Pki) -> bytes:
        """See peers.Peer."""
        del pki
        found = signed_reader.parse_signed(cms)
        fault = signed_reader.form_fault(found, detached=detached is not None)
        content = found.content if detached is None else detached
        if fault or not found.signer_infos or content is None:
            raise PeerRefused(f"form: {fault}")
        for info in found.signer_infos:
            certificate = signed_reader.find_certificate(info, found.certificate_values())
            if certificate is None:
                raise PeerRefused("signer's certificate is not enclosed")
            fault = signed_reader.verify(info, certificate, lambda name: hashlib.new(name, content).digest(),
                                         at=datetime.now(UTC))
            if fault is not None:
                raise PeerRefused(fault)
        return content

    def decrypt(self, cms: bytes, person: Person) -> bytes:
        """See peers.Peer."""
        return enveloped_reader.decrypt(enveloped_reader.parse_enveloped(cms), [CertificateKey(person)])

    def sign(self, content: bytes, person: Person, how: Signing,
             stamp: Callable[[bytes], bytes] | None = None, encrypt_to: Person | None = None) -> bytes:
        """See peers.Peer. `encrypt_to`: whose certificate is told as ours for answers."""
        profile = signed.SignerProfile(person.certificate, person.chain, how.scheme,
                                       encrypt_to.certificate if encrypt_to else None)
        return signed.sign(signed.prepare(profile), content=None if how.detached else content,
                           digest=hashlib.new(how.scheme.digest, content).digest(), at=datetime.now(UTC),
                           raw_sign=lambda octets: person.sign(how.scheme, octets), stamp=stamp)

    def encrypt(self, content: bytes, people: tuple[Person, ...], how: Sealing) -> bytes:
        """See peers.Peer."""
        rsa = KeyTransport.OAEP_SHA256 if how.wrap == "oaep-sha256" else KeyTransport.PKCS1
        return enveloped.encrypt(content, [person.certificate for person in people], ContentCipher(how.cipher), rsa)


def algorithm_of(scheme: SignScheme) -> str:
    """The key that the tests sign a scheme with."""
    return {"ed25519": "ed25519", "ecdsa-sha256": "p-256", "ecdsa-sha384": "p-384", "ecdsa-sha512": "p-521"}.get(
        scheme.value, "rsa-2048")
