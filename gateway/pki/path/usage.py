"""What a certificate may be used for: key usage and extended key usage, of the leaf and along its path.

RFC 5280 4.2.1.3 and 4.2.1.12, RFC 8550 4.4.2 and 4.4.4, RFC 3161 2.3, RFC 5480 3, RFC 8410 5.
Nested extended key usage is no rule of RFC 5280, but one of every large root programme: an authority that
says what it issues for does not issue for anything else.
"""

from gateway.cms.certificate import Certificate
from gateway.pki.trust import Purpose

EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
ANY_EXTENDED = "2.5.29.37.0"

_SIGNING = frozenset({"digital_signature", "content_commitment"})  # RFC 8550 4.4.2: either one


def leaf_usage_fits(certificate: Certificate, purpose: Purpose, *, eku_required: bool) -> bool:
    """Whether the certificate itself may serve. `eku_required` concerns mail; a time-stamper always needs its own."""
    if purpose == "stamper":
        # RFC 3161 2.3: that one usage alone, and critical.
        if certificate.extended_key_usage != frozenset({TIME_STAMPING}) or not certificate.eku_critical:
            return False
    elif certificate.extended_key_usage is None:
        if eku_required:
            return False
    elif not certificate.extended_key_usage & {EMAIL_PROTECTION, ANY_EXTENDED}:
        return False
    return _key_usage_fits(certificate, purpose)


def _key_usage_fits(certificate: Certificate, purpose: Purpose) -> bool:
    kind = certificate.key_algorithm
    if purpose == "recipient":
        if kind in {"ed25519", "ed448"}:
            return False
        needed = frozenset({"key_encipherment"}) if kind.startswith("rsa") else frozenset({"key_agreement"})
    else:
        if kind in {"x25519", "x448"}:
            return False
        needed = _SIGNING
    return certificate.key_usage is None or bool(certificate.key_usage & needed)


def issuer_usage_fits(issuer: Certificate, purpose: Purpose) -> bool:
    """Whether an authority of the path may issue for this purpose (nested extended key usage, anchor included)."""
    if issuer.extended_key_usage is None:
        return True
    usage = TIME_STAMPING if purpose == "stamper" else EMAIL_PROTECTION
    return bool(issuer.extended_key_usage & {usage, ANY_EXTENDED})
