"""Sealed mails of any build, put together layer by layer from the gateway's own writers and from forgeries.

    inner = signed(TEXT, anna)                       # an entity: multipart/signed, or opaque
    mail = message(enveloped(inner, box), from_="anna@customer.example")
    opened = open_mail(mail, [CertificateKey(box)], judge(), NOW)
"""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import FrozenClock
from gateway.cms import algorithms, timestamp
from gateway.cms import enveloped as cms_enveloped
from gateway.cms import signed as cms_signed
from gateway.cms.algorithms import ContentCipher
from gateway.der import build
from gateway.mime import smime_forms
from gateway.model.scheme import SignScheme
from gateway.pki.judge import Judge
from gateway.pki.revocation.verdict import Revocation, RevocationMode
from gateway.pki.trust import TrustSet, anchors_of
from tests.support.pki import NOW, KeyRing, Person, Pki, get_pki

TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nPlease transfer 100 EUR.\r\n"
ANNA = "anna@customer.example"
BANK = "orders@bank.example"

_SCHEMES = {"p-256": SignScheme.ECDSA_SHA256, "p-384": SignScheme.ECDSA_SHA384, "p-521": SignScheme.ECDSA_SHA512,
            "ed25519": SignScheme.ED25519}

Stamp = Callable[[bytes], bytes]


def scheme_of(person: Person) -> SignScheme:
    """What the person signs with."""
    return _SCHEMES.get(person.certificate.key_algorithm, SignScheme.RSA_PKCS1_SHA256)


def anna(algorithm: str = "p-256", **options: object) -> Person:
    """A customer who signs."""
    return get_pki().signer(algorithm, email=options.pop("email", ANNA), **options)  # type: ignore[arg-type]


def box(algorithm: str = "p-256", **options: object) -> Person:
    """The bank's mailbox: who decrypts."""
    return get_pki().recipient(algorithm, email=BANK, **options)  # type: ignore[arg-type]


def trust_of(pki: Pki, *, intermediates: bool = False) -> TrustSet:
    """The roots of `pki`, each for its own purpose."""
    from gateway.cms.certificate import parse_certificate

    return TrustSet(
        signers=anchors_of([pki.root_certificate]), recipients=anchors_of([pki.root_certificate]),
        stampers=anchors_of([pki.tsa_root_certificate]),
        intermediates=(parse_certificate(pki.intermediate.der),) if intermediates else ())


def judge(pki: Pki | None = None, mode: RevocationMode = "soft") -> Judge:
    """Who believes the test PKI."""
    return Judge(trust_of(pki or get_pki()), Revocation(mode))


def signature(content: bytes, person: Person, *, opaque: bool = False, at: datetime = NOW, stamp: Stamp | None = None,
              scheme: SignScheme | None = None, chain: bool = True) -> bytes:
    """The DER ContentInfo of one honest signature."""
    scheme = scheme or scheme_of(person)
    prepared = cms_signed.prepare(cms_signed.SignerProfile(person.certificate, person.chain if chain else (), scheme))
    return cms_signed.sign(
        prepared, content=content if opaque else None, digest=hashlib.new(scheme.digest, content).digest(), at=at,
        raw_sign=lambda octets: person.sign(scheme, octets), stamp=stamp)


def multipart(content: bytes, der: bytes, micalg: str = "sha-256") -> bytes:
    """A multipart/signed entity around `content` with any signature."""
    header, body = smime_forms.multipart_signed(content, der, micalg)
    return header + b"\r\n" + body


def signed(content: bytes, person: Person, **options: object) -> bytes:
    """A signed entity: multipart/signed, or with opaque=True application/pkcs7-mime."""
    der = signature(content, person, **options)  # type: ignore[arg-type]
    return cms(der, "signed-data") if options.get("opaque") else multipart(content, der)


def cms(der: bytes, smime_type: str) -> bytes:
    """An application/pkcs7-mime entity around any CMS object."""
    return smime_forms.pkcs7_mime(der, smime_type)


def enveloped(content: bytes, *people: Person, cipher: ContentCipher = ContentCipher.AES256_CBC) -> bytes:
    """An encrypted entity."""
    return cms(cms_enveloped.encrypt(content, [person.certificate for person in people], cipher),
               "authEnveloped-data" if cipher.aead else "enveloped-data")


def compressed(content: bytes) -> bytes:
    """A CompressedData entity (RFC 3274), which the gateway itself never writes."""
    return cms(build.sequence(build.oid(algorithms.COMPRESSED_DATA), build.context(0, build.sequence(
        build.integer(0), build.sequence(build.oid("1.2.840.113549.1.9.16.3.8")),
        build.sequence(build.oid(algorithms.DATA), build.context(0, build.octet_string(zlib.compress(content, 9))))))),
        "compressed-data")


def message(entity: bytes, *, from_: str | None = ANNA, to: str = BANK, subject: str = "Order",
            extra: Sequence[bytes] = ()) -> bytes:
    """A whole message around an entity."""
    fields = [b"From: Anna <%s>" % from_.encode()] if from_ is not None else []
    fields += [b"To: " + to.encode(), b"Subject: " + subject.encode(), b"Date: Tue, 24 Nov 2026 12:00:00 +0000",
               b"Message-ID: <m1@customer.example>", *extra, b"MIME-Version: 1.0"]
    return b"".join(field + b"\r\n" for field in fields) + entity


def stamper(at: datetime = NOW, unit: Person | None = None, accuracy_ms: int = 1000) -> Stamp:
    """A time-stamping service whose clock stands at `at`; `unit`: its certificate, of the test PKI if not given."""
    unit = unit or get_pki().stamper()
    service = EmbeddedTsa("test", KeyRing(tsa=(unit, "stamp")), "tsa", unit.certificate, unit.chain,
                          policy_oid="2.999.1", accuracy_ms=accuracy_ms, clock=FrozenClock(at), clock_check="none")
    return lambda value: service.stamp(hashlib.sha256(value).digest(), "sha256")


def forged_stamper(at: datetime, unit: Person | None = None) -> Stamp:
    """A key that stamps whatever time it is told, valid certificate or not: what the service itself refuses."""
    unit = unit or get_pki().stamper()
    prepared = cms_signed.prepare(cms_signed.SignerProfile(
        unit.certificate, unit.chain, scheme_of(unit), content_type=algorithms.TST_INFO))

    def stamp(value: bytes) -> bytes:
        info = timestamp.build_tst_info(
            timestamp.message_imprint(hashlib.sha256(value).digest(), "sha256"), policy=build.oid("2.999.1"), serial=1,
            gen_time=at, accuracy=timestamp.build_accuracy(1000))
        return cms_signed.sign(prepared, content=info, digest=hashlib.new(prepared.digest_name, info).digest(), at=at,
                               raw_sign=lambda octets: unit.sign(scheme_of(unit), octets))

    return stamp
