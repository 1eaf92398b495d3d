"""`encrypted_pdf`: a mail in the place of the original, with a PDF of all that was in it, encrypted with a password.

The password is derived from a secret, the mail and its recipient: it is the same whenever the mail comes again, and is
stored nowhere. It is handed over before the mail leaves; if that fails, the mail does not leave.
"""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Self

from gateway.letters.compose import Attachment, body
from gateway.letters.write import Writer
from gateway.mime import build
from gateway.mime.header import Headers, parse_headers
from gateway.mime.trace import message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import fold
from gateway.pdf.content import content_of
from gateway.pdf.lock import lock
from gateway.pdf.mail import MailPages
from gateway.pipeline.context import Original
from gateway.ports.customers import Customers
from gateway.ports.services.passwords import Handover, Passwords

LETTERS: Final = "abcdefghjkmnopqrstuvwxyz23456789"  # 32 that are not easily confused in print
_BITS: Final = 5  # of each
# Of the original; all other fields may say what the mail is about.
_KEPT: Final = frozenset({
    "from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references", "auto-submitted",
    "received"})


@dataclass(frozen=True, slots=True)
class EncryptedPdf:
    """See Conversion. `secret`: passwords are derived from it; `length` of them in characters."""

    secret: bytes = field(repr=False)
    length: int
    passwords: Passwords
    pages: MailPages
    letters: Writer
    language: str
    customers: Customers

    def convert(self, original: Original, at: datetime) -> bytes:
        """See Conversion: once the password is handed over.

        GatewayError PASSWORD_NOT_HANDED_OVER (retry), PDF_NOT_MADE, PDF_TOO_LARGE, CONFIG_INVALID of a template.
        """
        secret = password(self.secret, self.length, original.key, original.address)
        drawn, files = self.pages.draw(content_of(original.octets), self.language, at)
        attached = Attachment("message.pdf", "application/pdf", lock(drawn, secret, files))
        headers = parse_headers(original.octets)
        mail = self._mail(headers, attached)
        customer = self.customers.by_address(original.address)
        # By which the hook recognises a repetition; it discloses nothing about the password.
        key = hashlib.sha256(f"pdf handover\0{original.key}\0{fold(original.address)}".encode()).hexdigest()[:32]
        self.passwords.hand_over(Handover(
            key, original.address, customer.number if customer else None, secret, headers.text("from") or "",
            message_id(headers), self.language))
        return mail

    def dry_run(self) -> Self:
        """See Conversion: pages are drawn and encrypted, and no password is handed over."""
        return replace(self, passwords=NoHandover())

    def close(self) -> None:
        """See Conversion."""
        self.passwords.close()
        self.pages.close()

    def _mail(self, headers: Headers, attached: Attachment) -> bytes:
        """Sender and recipients stay; what the mail is about is in the PDF alone."""
        letter = self.letters.write("encrypted_pdf", self.language, {
            "sender": headers.text("from") or "", "file": attached.filename})
        kept = [one.raw for one in headers.fields if one.lower in _KEPT]
        return build.message([*kept, encode_unstructured("Subject", letter.subject)], body(letter, (attached,)))


class NoHandover:
    """See ports.services.passwords.Passwords: of a dry run."""

    def hand_over(self, handover: Handover) -> None:
        """It is not handed over."""

    def close(self) -> None:
        """Nothing is open."""


def password(secret: bytes, length: int, key: str, address: str) -> str:
    """Of this mail for this recipient: `length` characters of LETTERS, five bits each.

    `key`: the message key. HMAC-SHA-256 over both and a counter; 32 divides 256, so all letters are equally likely.
    """
    letters: list[str] = []
    block = 0
    while len(letters) < length:
        text = f"pdf password\0{key}\0{fold(address)}\0{block}".encode()
        letters += [LETTERS[octet >> (8 - _BITS)] for octet in hmac.digest(secret, text, "sha256")]
        block += 1
    return "".join(letters[:length])
