"""Answers about the bank's own certificates (RFC 6960), by the issuer itself or by a responder that it has delegated.

Encoding is left to `cryptography`. Used by the demo and the tests; may be imported by `app`, `cli`, `demo`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.authority.ca import Authority, Profile
from gateway.errors import GatewayError, Reason

RESPONDER = Profile(frozenset({"digital_signature"}), (ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string,))
"""The usages of a delegated responder's certificate; give it x509.OCSPNoCheck() as an extension, and a short life."""

_STATUS = {"good": ocsp.OCSPCertStatus.GOOD, "revoked": ocsp.OCSPCertStatus.REVOKED,
           "unknown": ocsp.OCSPCertStatus.UNKNOWN}


def build_answer(issuer: bytes, certificate: bytes, responder: Authority, status: Literal["good", "revoked", "unknown"],
                 this_update: datetime, next_update: datetime | None = None, *, revoked_at: datetime | None = None,
                 reason: str | None = None, nonce: bytes | None = None, by_name: bool = False,
                 identifier: hashes.HashAlgorithm | None = None,
                 enclosed: Sequence[bytes] | None = None) -> bytes:
    """The DER of a response about one certificate. `issuer`, `certificate`: DER.

    `responder`: the signer, the issuer itself or a delegate, whose certificate is enclosed unless `enclosed` names
    others. `by_name`: it names itself by its name, else by the hash of its key. `identifier`: names the issuer,
    SHA-1 by default, as most clients expect. GatewayError(USAGE) for a status that no answer can have.
    """
    try:
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=x509.load_der_x509_certificate(certificate), issuer=x509.load_der_x509_certificate(issuer),
            algorithm=identifier or hashes.SHA1(),  # noqa: S303 - an identifier, not a proof
            cert_status=_STATUS[status], this_update=this_update, next_update=next_update, revocation_time=revoked_at,
            revocation_reason=None if reason is None else x509.ReasonFlags(reason),
        ).responder_id(ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH,
                       responder.certificate)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        if enclosed is None:
            enclosed = () if responder.der == issuer else (responder.der,)
        if enclosed:
            builder = builder.certificates([x509.load_der_x509_certificate(der) for der in enclosed])
        chosen = None if isinstance(responder.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(responder.key, chosen).public_bytes(Encoding.DER)
    except (ValueError, TypeError) as error:
        raise GatewayError(Reason.USAGE, str(error)) from None
