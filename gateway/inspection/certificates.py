"""Certificates and PKCS#12 files looked at: what they say, and for which purposes they would be believed."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.private_keys import Pkcs12, read_pkcs12
from gateway.errors import GatewayError, Reason
from gateway.inspection.report import CertificateReport, Report, UseVerdict
from gateway.model.verdict import Status, Trust
from gateway.pki.judge import Judge
from gateway.pki.level import level_of
from gateway.pki.path import validation as path
from gateway.pki.path.usage import TIME_STAMPING
from gateway.pki.trust import Purpose

TOLD_MAX: Final = 100  # certificates of one file that are reported one by one
_PURPOSES: Final[tuple[Purpose, ...]] = ("signer", "recipient", "stamper")
_VERDICTS: Final = {Status.VALID: Trust.TRUSTED, Status.INVALID: Trust.NOT_TRUSTED}


def inspect_certificates(octets: bytes, judge: Judge, at: datetime) -> Report:
    """A file of certificates; the first one is judged, the others may complete its path."""
    return _report("certificate", load_certificates(octets), judge, at)


def bundled(octets: bytes, judge: Judge, at: datetime) -> tuple[CertificateReport, ...]:
    """The certificates that a CMS object without signatures brings (RFC 8551 3.8); () where it brings none."""
    try:
        certificates = load_certificates(octets)
    except GatewayError:
        return ()
    return tuple(_certificate_report(certificate, certificates, judge, at, private_key=False)
                 for certificate in certificates[:TOLD_MAX])


def inspect_pkcs12(octets: bytes, passwords: Iterable[bytes], judge: Judge, at: datetime) -> Report:
    """A PKCS#12, opened with the first password that fits; none and the empty one are tried first."""
    store = _opened(octets, [None, b"", *passwords][:8])
    own = (store.certificate,) if store.certificate is not None else ()
    certificates = (*own, *store.others)
    if not certificates:
        return Report("pkcs12", bears_no_trust=True)
    return _report("pkcs12", certificates, judge, at, has_key=bool(store.keys and own))


def _opened(octets: bytes, passwords: Sequence[bytes | None]) -> Pkcs12:
    for password in passwords:
        try:
            return read_pkcs12(octets, password)
        except GatewayError as error:
            if error.reason is not Reason.INPUT_PASSWORD_WRONG:
                raise
    raise GatewayError(Reason.INPUT_PASSWORD_WRONG)


def _report(kind: str, certificates: Sequence[Certificate], judge: Judge, at: datetime, *,
            has_key: bool = False) -> Report:
    reports = tuple(_certificate_report(certificate, certificates, judge, at, private_key=has_key and place == 0)
                 for place, certificate in enumerate(certificates[:TOLD_MAX]))
    use = reports[0].uses[_first_purpose(certificates[0])]
    return Report("pkcs12" if kind == "pkcs12" else "certificate", _VERDICTS.get(use.status, Trust.UNKNOWN),
                  (use.reason,) if use.reason is not None else (), certificates=reports,
                  bears_no_trust=kind == "pkcs12")


def _first_purpose(certificate: Certificate) -> Purpose:
    """What the certificate was made for, as far as it says."""
    if TIME_STAMPING in (certificate.extended_key_usage or ()):
        return "stamper"
    if certificate.key_usage is not None and not certificate.key_usage & {"digital_signature", "content_commitment"} \
            and certificate.key_usage & {"key_encipherment", "key_agreement"}:
        return "recipient"
    return "recipient" if certificate.key_algorithm in {"x25519", "x448"} else "signer"


def _certificate_report(certificate: Certificate, beside: Sequence[Certificate], judge: Judge, at: datetime, *,
          private_key: bool) -> CertificateReport:
    extended = certificate.extended_key_usage
    return CertificateReport(
        certificate.subject, certificate.emails, certificate.issuer, f"{certificate.serial:x}",
        certificate.not_before, certificate.not_after, certificate.sha256, certificate.key_algorithm,
        certificate.signature_algorithm,
        None if certificate.key_usage is None else tuple(sorted(certificate.key_usage)),
        None if extended is None else tuple(sorted(extended)), certificate.is_ca,
        _level(certificate, beside, judge, at),
        {purpose: _use(certificate, purpose, beside, judge, at) for purpose in _PURPOSES}, private_key)


def _level(certificate: Certificate, beside: Sequence[Certificate], judge: Judge, at: datetime) -> tuple[str, ...]:
    """What its issuer says of the holder, where that counts: for what the certificate was made for."""
    purpose = _first_purpose(certificate)
    found = path.validate(certificate, at, purpose, judge.trust, beside[:TOLD_MAX], authority=certificate.is_ca)
    return level_of(certificate, found, judge.trust)


def _use(certificate: Certificate, purpose: Purpose, beside: Sequence[Certificate], judge: Judge,
         at: datetime) -> UseVerdict:
    found = path.validate(certificate, at, purpose, judge.trust, beside[:TOLD_MAX], authority=certificate.is_ca)
    if found.reason is not None:
        return UseVerdict(found.status, found.reason)
    revoked = judge.revocation.judge(found.path, at, at)
    return UseVerdict(revoked.status, revoked.reason)
