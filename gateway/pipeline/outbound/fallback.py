"""The ways of mail to somebody without a certificate, as far as they lie on the mail's own way (docs/fallbacks.md).

    hold, invite      into the hold store, each recipient by himself, with the note whose certificate it waits for; what
                      becomes of it there is `waiting`'s
    encrypted_pdf     a mail of the bank's own goes in its place: a PDF with all that was in it, locked with a password
    plain_knowingly   goes as it is, signed

A password is derived from a secret, the mail and its recipient: whenever the same mail comes again it is the same, and
is kept nowhere. It is handed over before the mail leaves; if it is not, the mail does not.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.letters.compose import Attachment
from gateway.letters.write import Writer
from gateway.mime import build
from gateway.mime.header import Headers, parse_headers
from gateway.mime.trace import message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import fold
from gateway.model.decision import ENCRYPTED_PDF
from gateway.pdf.content import content_of
from gateway.pdf.lock import lock
from gateway.pdf.mail import MailPages
from gateway.ports.customers import Customers
from gateway.ports.services.fallbacks import FallbackBook, Fallen
from gateway.ports.services.passwords import Handover, Passwords

log = structlog.get_logger("sealgate.fallback")

LETTERS: Final = "abcdefghjkmnopqrstuvwxyz23456789"  # 32, none of which is mistaken for another in print
_BITS: Final = 5  # of each
# Of the mail as it came; all else may say what the mail is about.
_KEPT: Final = frozenset({
    "from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references", "auto-submitted",
    "received"})


@dataclass(frozen=True, slots=True)
class LockedPdf:
    """How mails become PDFs. `secret`: passwords are derived with it; `length` of them in characters."""

    secret: bytes = field(repr=False)
    length: int
    passwords: Passwords
    pages: MailPages


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """`language`: of letters and pages. `pdf` None: that way is not set up, and the rules cannot ask for it."""

    book: FallbackBook
    letters: Writer
    language: str
    pdf: LockedPdf | None = None


def password(secret: bytes, length: int, key: str, address: str) -> str:
    """Of this mail for this recipient: `length` characters of LETTERS, five bits each.

    `key`: the message key. HMAC-SHA-256 over both and a counter; 32 divides 256, so that no letter is favoured.
    """
    letters: list[str] = []
    block = 0
    while len(letters) < length:
        text = f"pdf password\0{key}\0{fold(address)}\0{block}".encode()
        letters += [LETTERS[octet >> (8 - _BITS)] for octet in hmac.digest(secret, text, "sha256")]
        block += 1
    return "".join(letters[:length])


def locked(fallbacks: Fallbacks, customers: Customers, octets: bytes, key: str, address: str, at: datetime) -> bytes:
    """The mail that goes in place of `octets`, once the password is handed over. `key`: the message key.

    GatewayError PASSWORD_NOT_HANDED_OVER (retry), PDF_NOT_MADE, PDF_TOO_LARGE, CONFIG_INVALID of a template.
    """
    way = fallbacks.pdf
    if way is None:
        raise GatewayError(Reason.CONFIG_INVALID, "fallbacks.encrypted_pdf is not set up", retry=True)
    secret = password(way.secret, way.length, key, address)
    content = content_of(octets)
    drawn, files = way.pages.draw(content, fallbacks.language, at)
    attached = Attachment("message.pdf", "application/pdf", lock(drawn, secret, files))
    headers = parse_headers(octets)
    mail = _instead(fallbacks, headers, attached)
    customer = customers.by_address(address)
    way.passwords.hand_over(Handover(
        _handover_key(key, address), address, customer.number if customer else None, secret,
        headers.text("from") or "", message_id(headers), fallbacks.language))
    return mail


def _handover_key(key: str, address: str) -> str:
    """By which a hook knows a repetition; tells nothing of the password."""
    return hashlib.sha256(f"pdf handover\0{key}\0{fold(address)}".encode()).hexdigest()[:32]


def _instead(fallbacks: Fallbacks, headers: Headers, attached: Attachment) -> bytes:
    """Whom it is from and to stays; what it is about stands in the PDF alone."""
    letter = fallbacks.letters.write(ENCRYPTED_PDF, fallbacks.language, {
        "sender": headers.text("from") or "", "file": attached.filename})
    kept = [one.raw for one in headers.fields if one.lower in _KEPT]
    entity = build.text(letter.text)
    if letter.html is not None:
        entity = build.multipart("alternative", [entity, build.text(letter.html, "html")])
    entity = build.multipart("mixed", [entity, build.leaf(attached.media_type, attached.octets,
                                                          filename=attached.filename)])
    return build.message([*kept, encode_unstructured("Subject", letter.subject)], entity)


def count(fallbacks: Fallbacks, fallen: Sequence[Fallen], at: datetime, incident: str) -> None:
    """Who had no certificate, for the figures. The mail is settled: trouble is told and changes nothing."""
    if not fallen:
        return
    try:
        fallbacks.book.fell(fallen, at)
    except GatewayError as trouble:
        log.warning("fallback.not_counted", incident=incident, reason=str(trouble.reason), detail=trouble.detail)
