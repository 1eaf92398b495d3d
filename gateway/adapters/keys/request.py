"""Requests for certificates (PKCS#10), signed by a key in memory, in a file or on a token.

RFC 2986; RFC 2985 5.4.2 (extensions asked for); RFC 4055 5, RFC 5758 3.2, RFC 8410 3 (signature algorithms).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.cms.certificate import Certificate
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme

_EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"
_SIGNING: Final[dict[str, tuple[SignScheme, bytes]]] = {
    "rsa": (SignScheme.RSA_PKCS1_SHA256, build.sequence(build.oid("1.2.840.113549.1.1.11"), build.null())),
    "p-256": (SignScheme.ECDSA_SHA256, build.sequence(build.oid("1.2.840.10045.4.3.2"))),
    "p-384": (SignScheme.ECDSA_SHA384, build.sequence(build.oid("1.2.840.10045.4.3.3"))),
    "p-521": (SignScheme.ECDSA_SHA512, build.sequence(build.oid("1.2.840.10045.4.3.4"))),
    "ed25519": (SignScheme.ED25519, build.sequence(build.oid("1.3.101.112"))),
}

Use = Literal["sign", "decrypt"]
Sign = Callable[[SignScheme, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the certificate shall name. `use` None: the CA decides on key usage."""

    subject: x509.Name
    emails: tuple[str, ...] = ()
    use: Use | None = None


def asked(name: str, emails: Sequence[str] = (), subject: str = "", use: Use | None = None) -> Asked:
    """`subject` in RFC 4514 ('CN=Codes,O=Bank,C=DE'); '' = the first address, or `name`, as common name. USAGE."""
    try:
        given = x509.Name.from_rfc4514_string(subject) if subject else x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, emails[0] if emails else name)])
    except (ValueError, TypeError) as error:
        raise GatewayError(Reason.USAGE,
                           f"`{subject or name}` is not a valid subject: {error}. Write one such as "
                           "CN=Codes,O=Bank,C=DE") from None
    return Asked(given, tuple(emails), use)


def asked_again(certificate: Certificate, use: Use) -> Asked:
    """The names of a certificate that there is: for its next one."""
    return Asked(certificate.x509.subject, certificate.emails, use)


def request(public: bytes, algorithm: str, whom: Asked, sign: Sign) -> bytes:
    """A certificate request in PEM. `public`: DER SubjectPublicKeyInfo, of the kind `algorithm`; `sign`: by its key.

    USAGE for X25519, which cannot sign one (RFC 2986 3), and for addresses beyond ASCII.
    """
    how = _SIGNING.get("rsa" if algorithm.startswith("rsa-") else algorithm)
    if how is None:
        raise GatewayError(Reason.USAGE,
                           f"an {algorithm} key cannot sign a request: the CA needs its public key otherwise")
    scheme, identifier = how
    info = build.sequence(build.integer(0), whom.subject.public_bytes(), public,
                          build.context(0, *_attributes(whom, algorithm)))
    der = build.sequence(info, identifier, build.bit_string(sign(scheme, info)))
    found = x509.load_der_x509_csr(der)
    if not found.is_signature_valid:  # what leaves is checked
        raise GatewayError(Reason.KEY_UNAVAILABLE, "the signature over the request does not verify", retry=True)
    return found.public_bytes(Encoding.PEM)


def _attributes(whom: Asked, algorithm: str) -> tuple[bytes, ...]:
    extensions: list[x509.ExtensionType] = []
    if whom.emails:
        try:
            extensions.append(x509.SubjectAlternativeName([x509.RFC822Name(email) for email in whom.emails]))
        except ValueError as error:
            raise GatewayError(Reason.USAGE, f"not a mail address in ASCII: {error}") from None
    if whom.use is not None:
        opens, elliptic = whom.use == "decrypt", not algorithm.startswith("rsa-")
        extensions.append(x509.KeyUsage(
            digital_signature=not opens, content_commitment=False, key_encipherment=opens and not elliptic,
            data_encipherment=False, key_agreement=opens and elliptic, key_cert_sign=False, crl_sign=False,
            encipher_only=False, decipher_only=False))
        extensions.append(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]))
    if not extensions:
        return ()
    listed = build.sequence(*(
        build.sequence(build.oid(one.oid.dotted_string),
                       *((build.boolean(True),) if isinstance(one, x509.KeyUsage) else ()),
                       build.octet_string(one.public_bytes())) for one in extensions))
    return (build.sequence(build.oid(_EXTENSION_REQUEST), build.set_of(listed)),)

