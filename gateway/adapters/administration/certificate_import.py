"""Certificates that people bring: PEM, DER, P7B and PKCS#12 with old and new ciphers, one or a million.

Refused by name: what could never be used (weak key, weak signature, unknown algorithm, no address). Kept and reported:
what is not usable now or not for everything (expired, not yet valid, for signing only), since renewals overlap, and a
certificate for signing is how a customer's own mail is recognised.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from gateway.cms.algorithms import allowed
from gateway.cms.certificate import Certificate, each_certificate
from gateway.cms.private_keys import is_pkcs12, read_pkcs12
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import KeyOrigin
from gateway.ports.administration import CertificateStore, Kept, NewCertificate, Trouble

OCTETS_MAX: Final = 67_108_864  # 64 MiB: bundles of a whole bank come in one P7B
BATCH: Final = 500  # certificates in one commit
EMAIL_PROTECTION: Final = "1.3.6.1.5.5.7.3.4"
ANY_USAGE: Final = "2.5.29.37.0"


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be imported. `where` is for people; `passphrase` only for PKCS#12."""

    where: str
    octets: bytes
    passphrase: bytes | None = None
    customer: str | None = None
    key_origin: KeyOrigin = "unknown"
    device_bound: bool = False
    profile: Literal["cbc", "gcm"] | None = None


def read_certificates(octets: bytes, passphrase: bytes | None = None) -> tuple[Certificate | GatewayError, ...]:
    """All certificates of a file in any format, each once, with the error in the place of one that cannot be read.

    A private key beside them is ignored. CERTIFICATE_MALFORMED, INPUT_UNREADABLE, INPUT_PASSWORD_WRONG or
    INPUT_TOO_LARGE.
    """
    if len(octets) > OCTETS_MAX:
        raise GatewayError(Reason.INPUT_TOO_LARGE, f"{len(octets)} octets")
    if not is_pkcs12(octets):
        if not octets.strip():
            raise GatewayError(Reason.INPUT_EMPTY, "0 octets")
        if not _may_hold_certificates(octets):
            raise GatewayError(Reason.INPUT_NOT_RECOGNISED, "this is not PEM, DER, P7B or PKCS#12")
        found = each_certificate(octets)
        if len(found) == 1 and isinstance(found[0], GatewayError):
            raise found[0]
        return tuple(dict.fromkeys(found))
    held = read_pkcs12(octets, passphrase)
    own: tuple[Certificate, ...] = (*((held.certificate,) if held.certificate else ()), *held.others)
    if not own:
        raise GatewayError(Reason.INPUT_UNREADABLE, "a PKCS#12 without a certificate")
    return own


def _may_hold_certificates(octets: bytes) -> bool:
    """Whether the file has a PEM certificate, or begins as DER does (a SEQUENCE)."""
    return octets.startswith(b"\x30") or (b"-----BEGIN " in octets and (
        b"CERTIFICATE" in octets or b"PKCS7" in octets or b"CMS" in octets or b"SIGNED MESSAGE" in octets))


def judge(certificate: Certificate, at: datetime) -> tuple[Reason | None, tuple[Reason, ...]]:
    """Why it must not be kept, or None; and the notes on it if it is kept."""
    refusal = allowed("key", certificate.key_algorithm, at)
    if refusal is None and not certificate.self_issued:  # a root's signature over itself proves nothing
        refusal = allowed("certificate", certificate.signature_algorithm, at)
    if refusal is None and not certificate.is_ca and not certificate.emails:
        refusal = Reason.CERTIFICATE_ADDRESS_MISMATCH
    return refusal, tuple(_notes(certificate, at))


def _notes(certificate: Certificate, at: datetime) -> Iterator[Reason]:
    if certificate.not_after < at:
        yield Reason.CERTIFICATE_EXPIRED
    if certificate.not_before > at:
        yield Reason.CERTIFICATE_NOT_YET_VALID
    if certificate.is_ca:
        return
    usage, extended = certificate.key_usage, certificate.extended_key_usage
    encrypts = usage is None or bool(usage & {"key_encipherment", "key_agreement"})
    mails = extended is None or bool(extended & {EMAIL_PROTECTION, ANY_USAGE})
    if not encrypts or not mails:
        yield Reason.CERTIFICATE_WRONG_USAGE


def import_certificates(store: CertificateStore, items: Iterable[Item], at: datetime) -> Iterator[Kept | Trouble]:
    """One answer per certificate, or per item that cannot be read, in their order; commits by batches.

    An issuer beside other certificates is kept as an issuer and never bound. GatewayError only where the store fails.
    """
    batch: list[tuple[str, NewCertificate]] = []
    for item in items:
        try:
            certificates = read_certificates(item.octets, item.passphrase)
        except GatewayError as error:
            yield from _flush(store, batch, at)
            yield Trouble(item.where, error.reason, error.detail)
            continue
        for certificate in certificates:
            if isinstance(certificate, GatewayError):
                yield from _flush(store, batch, at)
                yield Trouble(item.where, certificate.reason, certificate.detail)
                continue
            refusal, _ = judge(certificate, at)
            if refusal is not None:
                yield from _flush(store, batch, at)
                yield Trouble(item.where, refusal, certificate.subject)
                continue
            batch.append((item.where, _new(item, certificate, alone=len(certificates) == 1)))
            if len(batch) >= BATCH:
                yield from _flush(store, batch, at)
    yield from _flush(store, batch, at)


def _new(item: Item, certificate: Certificate, *, alone: bool) -> NewCertificate:
    """Bound, unless it is the issuer beside a person's certificate. Alone it is bound even if it may issue:

    many tools make self-signed certificates that do.
    """
    if certificate.is_ca and not (alone and certificate.emails):
        return NewCertificate(certificate)
    return NewCertificate(certificate, item.customer, "import", item.key_origin, item.device_bound, item.profile)


def _flush(store: CertificateStore, batch: list[tuple[str, NewCertificate]], at: datetime) -> Iterator[Kept | Trouble]:
    """One commit for all; where one of them will not do, each alone, so that the others are kept."""
    waiting, batch[:] = list(batch), []
    if not waiting:
        return
    try:
        yield from _results(store.add([new for _, new in waiting]), [new for _, new in waiting], at)
        yield from _unread(waiting)
        return
    except GatewayError as error:
        if error.retry:
            raise
    for where, new in waiting:
        try:
            yield from _results(store.add([new]), [new], at)
            yield from _unread([(where, new)])
        except GatewayError as error:
            if error.retry:
                raise
            yield Trouble(where, error.reason, error.detail)


def _unread(new: Sequence[tuple[str, NewCertificate]]) -> Iterator[Trouble]:
    """Names of kept certificates that no look-up finds: mail to such a person would count as unprotected."""
    for where, one in new:
        for name in () if one.certificate.is_ca else one.certificate.no_mailboxes:
            yield Trouble(where, Reason.CERTIFICATE_ADDRESS_MISMATCH,
                          f"`{name}` in the certificate is not one mail address, so it was kept without it, for "
                          f"{', '.join(one.certificate.emails)} only")


def _results(kept: Sequence[Kept], new: Sequence[NewCertificate], at: datetime) -> Iterator[Kept]:
    for one, what in zip(kept, new, strict=True):
        yield replace(one, notes=judge(what.certificate, at)[1])
