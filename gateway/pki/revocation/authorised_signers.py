"""Finds who may sign an authority's CRLs and OCSP responses besides the key that issued the certificates.

RFC 5280 6.3.3 f: the signer of a list has a path of its own to the anchor of the certificate's path, and cRLSign.
RFC 6960 4.2.2.2: the signer of an answer holds a certificate with id-kp-OCSPSigning from that very issuer.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from gateway.cms import names
from gateway.cms.algorithms import AlgorithmIdentifier
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.path import validation as path
from gateway.pki.path.issuers import signed_by
from gateway.pki.revocation.scope import name_hash
from gateway.pki.revocation.signatures import signed_by_key
from gateway.pki.revocation.verdict import RevocationData
from gateway.pki.trust import Purpose, TrustSet

CANDIDATES_MAX: Final = 8  # keys tried for one list: an authority's own has two around a change of keys
_OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
_PURPOSES: Final[tuple[Purpose, ...]] = ("signer", "recipient", "stamper")


def find_speaker(algorithm: AlgorithmIdentifier, signature: bytes, signed: bytes, issuer: Certificate, name: bytes,
                 key_id: bytes | None, certificates: Sequence[Certificate], trust: TrustSet, at: datetime,
                 data: RevocationData | None) -> Certificate:
    """The certificate of the signer of a list whose issuer field is `name`, for certificates of `issuer`.

    GatewayError REVOCATION_ALTERED where only the issuer itself comes into question and its key does not verify it,
    REVOCATION_UNTRUSTED where no authorised signer has signed it.
    """
    tried = 0
    refused = "no authorised signer is known for the list"
    for candidate in _candidates(issuer, name, certificates, trust):
        if candidate.key_usage is not None and "crl_sign" not in candidate.key_usage:
            refused = f"{candidate.subject} may not sign lists"
            continue
        if key_id and candidate.ski and key_id != candidate.ski:
            continue
        if tried >= CANDIDATES_MAX:
            break
        tried += 1
        if not signed_by_key(algorithm, signature, signed, candidate):
            continue
        if candidate.spki == issuer.spki and names.same(candidate.subject_der, issuer.subject_der):
            return candidate
        refused = _speaker_fault(candidate, issuer, certificates, trust, at, data)
        if not refused:
            return candidate
        tried = CANDIDATES_MAX + 1  # an authorised signer did sign it: it is not altered
    if tried == 1 and name_hash(name) == name_hash(issuer.subject_der) and (not key_id or key_id == issuer.ski):
        raise GatewayError(Reason.REVOCATION_ALTERED, "the signature of the list is not its issuer's")
    raise GatewayError(Reason.REVOCATION_UNTRUSTED, refused)


def _candidates(issuer: Certificate, name: bytes, certificates: Sequence[Certificate],
                trust: TrustSet) -> Iterator[Certificate]:
    """The issuer first; then the other certificates with the name that the list states."""
    issuer_hash = name_hash(name)
    candidates: set[Certificate] = set()

    def known() -> Iterator[Certificate]:
        yield issuer
        yield from certificates
        yield from trust.intermediates
        for purpose in _PURPOSES:
            yield from (anchor.certificate for anchor in trust.anchors(purpose))
        for der in trust.known.by_subject(name) if trust.known is not None else ():
            try:
                yield parse_certificate(der)
            except GatewayError:
                continue

    for certificate in known():
        if certificate not in candidates and name_hash(certificate.subject_der) == issuer_hash:
            candidates.add(certificate)
            yield certificate


def _speaker_fault(speaker: Certificate, issuer: Certificate, certificates: Sequence[Certificate], trust: TrustSet,
                   at: datetime, data: RevocationData | None) -> str:
    """Why `speaker` may not speak for `issuer`, '' if it may: valid, unrevoked, and below the same anchor."""
    beside = (issuer, *certificates)  # the issuer itself may have certified the key that signs its lists
    for purpose in _PURPOSES:
        own = path.validate(issuer, at, purpose, trust, beside, authority=True)
        theirs = path.validate(speaker, at, purpose, trust, beside, authority=True)
        if own.anchor is None or theirs.anchor is None or own.anchor.certificate != theirs.anchor.certificate:
            continue
        if data is not None and len(theirs.path) > 1:
            known = data.known(speaker, theirs.path[1], at, at)
            if known.status in {"revoked", "on_hold"}:
                return f"{speaker.subject} is revoked itself"
        return ""
    return f"{speaker.subject} has no path to the issuer's root"


def responder_fault(responder: Certificate, issuer: Certificate, trust: TrustSet, at: datetime,
                    data: RevocationData | None) -> str:
    """Why `responder` may not answer for `issuer`, '' if it may (RFC 6960 4.2.2.2).

    The issuer itself; one of the bank's own configured responders; or one that this very issuer has delegated.
    """
    if responder.spki == issuer.spki and names.same(responder.subject_der, issuer.subject_der):
        return ""
    weak = path.strength_reason(responder, at)
    if not responder.not_before <= at <= responder.not_after:
        return f"the responder's certificate is not valid at {at:%Y-%m-%dT%H:%M:%SZ}"
    if responder in trust.ocsp_responders:
        return ""
    if weak is not None:
        return f"the responder's certificate is weak ({weak})"
    if responder.extended_key_usage is None or _OCSP_SIGNING not in responder.extended_key_usage:
        return "the responder's certificate is not for answers (id-kp-OCSPSigning)"
    if responder.key_usage is not None and not responder.key_usage & {"digital_signature", "content_commitment"}:
        return "the responder's certificate is not for signing"
    if name_hash(responder.issuer_der) != name_hash(issuer.subject_der) or not signed_by(responder, issuer):
        return "the responder's certificate is not of the issuer that it speaks for"
    if data is not None and not _nocheck(responder):
        known = data.known(responder, issuer, at, at)
        if known.status in {"revoked", "on_hold"}:
            return "the responder's certificate is revoked itself"
    return ""


def _nocheck(responder: Certificate) -> bool:
    """Its issuer says that it need not be looked up (RFC 6960 4.2.2.2.1)."""
    try:
        responder.x509.extensions.get_extension_for_class(x509.OCSPNoCheck)
    except x509.ExtensionNotFound:
        return False
    return True
