"""What a good signature says of the mail around its content: header fields, time and recipients.

A signature covers the content and the protected fields (RFC 9788) and nothing else. Anybody can send the same signed
content again with another Subject, Date or Reply-To, and to another recipient. Nothing here changes the verdict: rules
ask for it (`header_protection`, `signature_age`, `signature_date_gap`, `addressed_to`), and readers see it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from gateway.errors import GatewayError
from gateway.mime.addresses import mailboxes
from gateway.mime.header import Field, Headers
from gateway.model.address import fold
from gateway.model.mailbox import same_mailbox
from gateway.model.verdict import Coverage, SignatureVerdict, SignerVerdict, Status
from gateway.smime.unprotect import ProtectedHeaders

ADDRESSES_MAX: Final = 1_000
_SHOWN: Final = ("subject", "date", "to", "cc", "reply-to")  # beside From, which the verdict itself is about
_SHOWN_AS_AUTHOR: Final = ("reply-to", "sender")  # Outlook shows "Sender on behalf of From"


def coverage_of(
    outer: Headers, protected: ProtectedHeaders | None, signature: SignatureVerdict, from_: str | None, at: datetime
) -> Coverage | None:
    """Of a message with the header `outer` that came at `at`; None without a valid signature over the whole.

    `from_`: the address of the one From.
    """
    if signature.status is not Status.VALID or signature.covers != "whole":
        return None
    signed_at = _signed_at(signature.signers)
    dates = _fields("date", outer, protected)
    return Coverage(
        headers=_headers(outer, protected),
        to=_protected_to(protected),
        age_s=None if signed_at is None else int((at - signed_at).total_seconds()),
        date_gap_s=None if signed_at is None else _date_gap_s(dates, signed_at),
        stray_reply_to=any(_is_stray(outer.all(name), from_) for name in _SHOWN_AS_AUTHOR if _is_open(name, protected)),
    )


def _is_open(lower: str, protected: ProtectedHeaders | None) -> bool:
    """Whether a reader is shown this field as it is outside of the signature."""
    return protected is None or lower not in protected.replaces


def _fields(lower: str, outer: Headers, protected: ProtectedHeaders | None) -> Sequence[Field]:
    """The fields of that name that a reader is shown."""
    if protected is None or lower not in protected.replaces:
        return outer.all(lower)
    return [field for field in protected.promoted if field.lower == lower]


def _headers(outer: Headers, protected: ProtectedHeaders | None) -> Literal["protected", "partly", "unprotected"]:
    if protected is None or not protected.promoted:
        return "unprotected"
    is_partly = any(outer.first(name) is not None and _is_open(name, protected) for name in _SHOWN)
    return "partly" if is_partly else "protected"


def _protected_to(protected: ProtectedHeaders | None) -> frozenset[str] | None:
    """Folded addresses of the protected To and Cc; None where the author protected neither."""
    if protected is None or not {"to", "cc"} & protected.replaces:
        return None
    found: set[str] = set()
    for field in protected.promoted:
        if field.lower in ("to", "cc"):
            found.update(_addresses(field))
    return frozenset(sorted(found)[:ADDRESSES_MAX])


def _addresses(field: Field) -> list[str]:
    try:
        return [fold(box.address) for box in mailboxes(field.value)]
    except GatewayError:  # no address that anybody could be named by
        return []


def _signed_at(signers: Sequence[SignerVerdict]) -> datetime | None:
    """When the From's signer signed, by their own signed word; the first valid one's where none is the From.

    A time-stamp counts only where it is earlier: anybody can stamp an old signature again (RFC 3161 appendix A).
    """
    valid = [signer for signer in signers if signer.status is Status.VALID]
    signer = next((one for one in valid if one.matches_from), valid[0] if valid else None)
    if signer is None or signer.signing_time is None:
        return None
    stamp = signer.timestamp
    if stamp.status is Status.VALID and stamp.time is not None:
        return min(signer.signing_time, stamp.time)
    return signer.signing_time


def _date_gap_s(dates: Sequence[Field], signed_at: datetime) -> int | None:
    """Seconds between signing and the Date that a reader is shown (RFC 5322 3.6.1); 0 where none is shown.

    None for several, which readers choose from, and for one that cannot be read.
    """
    if not dates:
        return 0
    if len(dates) > 1:
        return None
    try:
        found = parsedate_to_datetime(dates[0].unfolded)
        date = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        return int(abs(date - signed_at).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _is_stray(fields: Sequence[Field], from_: str | None) -> bool:
    """Whether answers would go elsewhere than to the signer."""
    for field in fields:
        try:
            boxes = mailboxes(field.value)
        except GatewayError:
            return True
        if not all(from_ is not None and same_mailbox(box.address, from_) for box in boxes):
            return True
    return False
