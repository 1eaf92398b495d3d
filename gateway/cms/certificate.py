"""A certificate (X.509, RFC 5280) read once into a value that cannot be wrong.

RFC 5280 4.1 and 4.2, RFC 9598 (SmtpUTF8Mailbox), RFC 4514 (names as text). Reading does not mean believing:
whether a certificate is good for anything is for `pki` to say.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import Final, TypeVar

import pybase64
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import Certificate as X509Certificate

from gateway.cms import algorithms, names
from gateway.der import ber, prescan, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason
from gateway.model.address import is_mailbox

E = TypeVar("E", bound=x509.ExtensionType)

CERTIFICATE_OCTETS_MAX: Final = 65_536  # with ML-DSA-87 keys and signatures a certificate has under 10,000
CERTIFICATES_MAX: Final = 10_000  # in one file
SMTP_UTF8_MAILBOX: Final = "1.3.6.1.5.5.7.8.9"
RSA_EXPONENT_BITS_MAX: Final = 64  # OpenSSL's bound: larger ones only cost time

_USAGES: Final = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                  "key_cert_sign", "crl_sign")


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One certificate. Equal to another if the octets are.

    `sha256`: hex of the whole. `subject`, `issuer`: RFC 4514 text. `spki`: DER SubjectPublicKeyInfo. Times are UTC.
    `emails`: rfc822Name and SmtpUTF8Mailbox of the SAN as written; of the subject only where the SAN has none.
    `key_usage`, `extended_key_usage`: None where the extension is absent (anything goes), dotted OIDs in the latter.
    `key_algorithm`, `signature_algorithm`: names of `cms.algorithms`.
    """

    der: bytes = field(repr=False)
    sha256: str
    subject: str
    issuer: str
    subject_der: bytes = field(repr=False)
    issuer_der: bytes = field(repr=False)
    serial: int
    spki: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    emails: tuple[str, ...]
    key_usage: frozenset[str] | None
    extended_key_usage: frozenset[str] | None
    eku_critical: bool
    is_ca: bool
    path_length: int | None
    ski: bytes | None
    aki: bytes | None
    key_algorithm: str
    signature_algorithm: str
    policies: frozenset[str]
    x509: X509Certificate = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are the same name (RFC 5280 3.2, 7.1)."""
        return names.same(self.subject_der, self.issuer_der)

    @property
    def no_mailboxes(self) -> tuple[str, ...]:
        """The names in the place of addresses that are none, so that `emails` does not have them."""
        named = _named(self.subject_der, self.x509.extensions)
        return tuple(name for name in dict.fromkeys(named) if name and not is_mailbox(name))

    @property
    def issued_to(self) -> tuple[object, object]:
        """Issuer and subject, comparable as RFC 5280 7.1 says: equal for the certificates of one owner."""
        return names.comparable(self.issuer_der), names.comparable(self.subject_der)


def parse_certificate(der: bytes) -> Certificate:
    """Reads one DER certificate that fills `der`; the last few thousand are kept. Fault: CERTIFICATE_MALFORMED."""
    if len(der) > CERTIFICATE_OCTETS_MAX:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, f"a certificate of {len(der)} octets")
    return _parse_cached(bytes(der))


@lru_cache(maxsize=4096)
def _parse_cached(der: bytes) -> Certificate:
    try:
        prescan.check(der)
        return _parse(der)
    except GatewayError as error:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, error.detail) from None
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType, Warning) as error:  # a Warning only where they are made errors
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, str(error)) from None


def _parse(der: bytes) -> Certificate:
    tbs, outer_algorithm, _ = _exactly(der, walk.single(der, walk.SEQUENCE), 3)
    fields = walk.children(der, walk.expect(tbs, walk.SEQUENCE), limit=10)
    if fields and fields[0].tag == 0xA0:
        fields = fields[1:]
    if len(fields) < 6:
        raise DerMalformed("a certificate without its fields")
    serial, inner_algorithm, issuer, validity, subject, spki = fields[:6]
    if walk.whole(der, inner_algorithm) != walk.whole(der, outer_algorithm):
        raise DerMalformed("a certificate that names two signature algorithms (RFC 5280 4.1.1.2)")
    number = walk.decode_integer(der, serial)
    # Old roots have serial number 0, and nothing names a root by its number (8 of Mozilla's in 2025).
    if number < 0 or (number == 0 and not names.same(walk.whole(der, issuer), walk.whole(der, subject))):
        raise DerMalformed("a serial number that is not positive (RFC 5280 4.1.2.2)")
    not_before, not_after = (walk.decode_time(der, part) for part in _exactly(der, validity, 2))
    with nullcontext() if number else warnings.catch_warnings(action="ignore"):  # the library warns of 0
        loaded = x509.load_der_x509_certificate(der)
        extensions = loaded.extensions
    constraints = _extension(extensions, x509.BasicConstraints)
    eku = _extension(extensions, x509.ExtendedKeyUsage)
    ski = _extension(extensions, x509.SubjectKeyIdentifier)
    aki = _extension(extensions, x509.AuthorityKeyIdentifier)
    policies = _extension(extensions, x509.CertificatePolicies)
    spki_der = walk.whole(der, spki)
    return Certificate(
        der=der,
        sha256=sha256(der).hexdigest(),
        subject=names.text(walk.whole(der, subject)),
        issuer=names.text(walk.whole(der, issuer)),
        subject_der=walk.whole(der, walk.expect(subject, walk.SEQUENCE)),
        issuer_der=walk.whole(der, walk.expect(issuer, walk.SEQUENCE)),
        serial=number,
        spki=spki_der,
        not_before=not_before,
        not_after=not_after,
        emails=_emails(walk.whole(der, subject), extensions),
        key_usage=_key_usage(_extension(extensions, x509.KeyUsage)),
        extended_key_usage=None if eku is None else frozenset(usage.dotted_string for usage in eku),
        eku_critical=eku is not None and extensions.get_extension_for_class(x509.ExtendedKeyUsage).critical,
        is_ca=constraints is not None and constraints.ca,
        path_length=None if constraints is None else constraints.path_length,
        ski=None if ski is None else ski.digest,
        aki=None if aki is None else aki.key_identifier,
        key_algorithm=key_algorithm(spki_der, loaded),
        signature_algorithm=algorithms.signature_algorithm(algorithms.read_identifier(der, outer_algorithm)).name,
        policies=frozenset() if policies is None else frozenset(p.policy_identifier.dotted_string for p in policies),
        x509=loaded,
    )


def _exactly(octets: bytes, tlv: Tlv, count: int) -> list[Tlv]:
    """The children of a SEQUENCE that must have `count` of them."""
    parts = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), limit=count)
    if len(parts) != count:
        raise DerMalformed(f"{len(parts)} elements where {count} are expected")
    return parts


def _extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key_usage(usage: x509.KeyUsage | None) -> frozenset[str] | None:
    if usage is None:
        return None
    found = {name for name in _USAGES if getattr(usage, name)}
    if usage.key_agreement:
        found |= {name for name in ("encipher_only", "decipher_only") if getattr(usage, name)}
    return frozenset(found)


def _emails(subject: bytes, extensions: x509.Extensions) -> tuple[str, ...]:
    """The addresses named, in order, each once. Other values (a name, a list, controls, spaces) are skipped."""
    return tuple(dict.fromkeys(filter(is_mailbox, _named(subject, extensions))))


def _named(subject: bytes, extensions: x509.Extensions) -> list[str]:
    alternatives = _extension(extensions, x509.SubjectAlternativeName)
    found: list[str] = []
    for name in alternatives or ():
        if isinstance(name, x509.RFC822Name):
            found.append(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == SMTP_UTF8_MAILBOX:
            found.append(_utf8_mailbox(name.value))
    if not found:
        found.extend(names.values(subject, names.EMAIL_ADDRESS))
    return found


def _utf8_mailbox(value: bytes) -> str:
    """The address of a SmtpUTF8Mailbox, '' for one in ASCII, which belongs in rfc822Name (RFC 9598 3)."""
    text = walk.content(value, walk.single(value, walk.UTF8_STRING)).decode("utf-8")
    return "" if text.isascii() else text


def key_algorithm(spki: bytes, loaded: x509.Certificate | None = None) -> str:
    """The name of a public key in DER SubjectPublicKeyInfo: 'rsa-2048', 'p-256', 'x25519', …; dotted OID if unknown.

    DerMalformed. `loaded`: the certificate around it, which has parsed the key once already.
    """
    algorithm, key = _exactly(spki, walk.single(spki, walk.SEQUENCE), 2)
    oid, parameters = algorithms.read_identifier(spki, algorithm)
    if oid in {algorithms.RSA, algorithms.RSA_PSS, algorithms.RSA_OAEP}:
        return f"rsa-{_rsa_bits(walk.decode_bit_string(spki, key))}"
    if oid == algorithms.EC_PUBLIC_KEY:
        if parameters is None or parameters[0] != walk.OID:
            raise DerMalformed("an elliptic curve key whose curve has no name (RFC 5480 2.1.1)")
        curve = walk.oid_text(walk.content(parameters, walk.single(parameters)))
        if loaded is not None and curve in algorithms.CURVES:
            loaded.public_key()  # the point must be on the curve: ValueError
        return algorithms.CURVES.get(curve, curve)
    return algorithms.KEY_OIDS.get(oid, oid)


def _rsa_bits(key: bytes) -> int:
    """Size of the modulus in bits. DerMalformed for a key that encrypts nothing or costs too much."""
    modulus, exponent = (walk.decode_integer(key, part) for part in _exactly(key, walk.single(key, walk.SEQUENCE), 2))
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > RSA_EXPONENT_BITS_MAX:
        raise DerMalformed("an RSA exponent that is even, 1, negative or absurdly large")
    if modulus <= 0 or modulus % 2 == 0:
        raise DerMalformed("an RSA modulus that is even or negative")
    return modulus.bit_length()


_PEM: Final = re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE|PKCS7|CMS|SIGNED MESSAGE)-----")
_PEM_BUNDLES: Final = frozenset({b"PKCS7", b"CMS", b"SIGNED MESSAGE"})  # the last one is gpgsm's


def load_certificates(octets: bytes) -> tuple[Certificate, ...]:
    """All certificates of a file: PEM (one or many, other blocks between them ignored), DER, or P7B in DER, BER or PEM.

    In the order of the file, each once. CERTIFICATE_MALFORMED if one cannot be read, with its place in the file, or if
    there is none at all.
    """
    found: dict[Certificate, None] = {}
    for one in each_certificate(octets):
        if isinstance(one, GatewayError):
            raise one
        found[one] = None
    return tuple(found)


def each_certificate(octets: bytes) -> tuple[Certificate | GatewayError, ...]:
    """The same, with the error in the place of a certificate that cannot be read: the others are not lost.

    CERTIFICATE_MALFORMED if the file holds none at all, or too many.
    """
    blocks = _pem_blocks(octets) if b"-----BEGIN " in octets else bundled(octets)
    ders = list(islice(blocks, CERTIFICATES_MAX + 1))
    if not ders:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, "the file has no certificate")
    if len(ders) > CERTIFICATES_MAX:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, f"the file has more than {CERTIFICATES_MAX} certificates")
    return tuple(_readable(der, place, len(ders)) for place, der in enumerate(ders, 1))


def _pem_blocks(octets: bytes) -> Iterator[bytes | GatewayError]:
    """The DER of every certificate in PEM; of a block that is none, why."""
    end = 0
    while (begin := _PEM.search(octets, end)) is not None:
        label = begin[1]
        close = octets.find(b"-----", begin.end())
        if close < 0 or not octets.startswith(b"-----END " + label + b"-----", close):
            yield GatewayError(Reason.CERTIFICATE_MALFORMED, f"a PEM block {label.decode()} without its END line")
            end = begin.end()
            continue
        end = close
        if label.startswith(b"TRUSTED"):
            yield GatewayError(Reason.CERTIFICATE_MALFORMED, "OpenSSL's TRUSTED CERTIFICATE, which carries more than a "
                               "certificate: convert it with openssl x509")
            continue
        try:
            der = pybase64.b64decode(b"".join(octets[begin.end():close].split()), validate=True)
            yield from bundled(der) if label in _PEM_BUNDLES else (der,)
        except ValueError as error:
            yield GatewayError(Reason.CERTIFICATE_MALFORMED, f"PEM: {error}")
        except GatewayError as error:
            yield error


def _readable(der: bytes | GatewayError, place: int, count: int) -> Certificate | GatewayError:
    try:
        if isinstance(der, GatewayError):
            raise der
        return parse_certificate(der)
    except GatewayError as error:
        where = f"certificate {place} of {count}: " if count > 1 else ""
        return GatewayError(Reason.CERTIFICATE_MALFORMED, where + error.detail)


def bundled(octets: bytes) -> tuple[bytes, ...]:
    """The certificates (DER, unread) of a certs-only SignedData in DER or BER (RFC 8551 3.8).

    Anything else is taken for one certificate. CERTIFICATE_MALFORMED if it is neither.
    """
    def parse(octets: bytes) -> tuple[bytes, ...]:
        top = walk.single(octets, walk.SEQUENCE)
        parts = walk.children(octets, top)
        if not parts or parts[0].tag != walk.OID:
            return (octets,)
        if walk.decode_oid(octets, parts[0]) != algorithms.SIGNED_DATA or len(parts) != 2:
            raise DerMalformed("neither a certificate nor a bundle of certificates")
        signed = walk.read(octets, walk.expect(parts[1], 0xA0).body, parts[1].end)
        fields = walk.children(octets, walk.expect(signed, walk.SEQUENCE), limit=8)
        held = [child for field in fields if field.tag == 0xA0
                for child in walk.children(octets, field, limit=CERTIFICATES_MAX)]
        return tuple(walk.whole(octets, child) for child in held if child.tag == walk.SEQUENCE)

    try:
        return ber.tolerant(parse, octets)
    except GatewayError as error:
        raise GatewayError(Reason.CERTIFICATE_MALFORMED, error.detail) from None
