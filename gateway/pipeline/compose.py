"""What the bank's mail server gets of an inbound mail: opened, as received, or an explanation with the original."""

from typing import Final

from gateway.errors import Reason
from gateway.mime.build import multipart, text, wrap_rfc822
from gateway.mime.entity import parse_entity
from gateway.mime.header import parse_headers, prepend_fields
from gateway.mime.words import encode_unstructured
from gateway.model.mail import Mail
from gateway.model.sentences import SENTENCES
from gateway.model.verdict import Verdicts
from gateway.pipeline.house import House
from gateway.pipeline.status import status_fields
from gateway.pipeline.strip import without_forgeries
from gateway.smime.draft import Draft
from gateway.smime.open import Opened
from gateway.smime.seal import labelled

_KEPT: Final = frozenset(
    {"received", "return-path", "from", "to", "cc", "date", "message-id", "reply-to", "references", "in-reply-to"}
)
_ACTIVE: Final = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"})


def compose(house: House, mail: Mail, opened: Opened, draft: Draft) -> bytes:
    """The octets that go on. Status fields stand on top, after everything that came from outside was stripped."""
    verdicts = opened.verdicts
    octets = mail.octets
    if draft.opened:
        octets = _opened(house, mail, opened)
        if draft.keep_original and octets is not mail.octets:
            octets = _with_original(octets, mail.octets)
    octets = labelled(octets, draft.subject_tag, draft.headers)
    return prepend_fields(octets, *status_fields(house.identity.authserv_id, verdicts))


def _opened(house: House, mail: Mail, opened: Opened) -> bytes:
    """The opened form; a mail that could not be opened arrives as an attachment to a plain explanation."""
    decryption = opened.verdicts.decryption
    if decryption.status in ("no_key", "failed"):
        sentence = SENTENCES[decryption.reason or Reason.DECRYPTION_FAILED]
        return _around(
            mail.octets, text(f"{sentence.what}\n\n{sentence.remedy}\n"), "The message could not be decrypted"
        )
    octets = without_forgeries(opened.octets, house, mail.origin)
    return neutralised(octets) if _unauthenticated(opened.verdicts) else octets


def _around(original: bytes, explanation: bytes, subject: str) -> bytes:
    """A mail to the same people that explains, with the original as it came inside."""
    outer = b"".join(field.raw for field in parse_headers(original).fields if field.lower in _KEPT)
    body = multipart("mixed", (explanation, wrap_rfc822(original, filename="original.eml")))
    return outer + encode_unstructured("Subject", subject) + b"MIME-Version: 1.0\r\n" + body


def _with_original(opened: bytes, original: bytes) -> bytes:
    """The opened mail with the one received attached."""
    headers = parse_headers(opened)
    inner = b"".join(field.raw for field in headers.fields if field.lower.startswith("content-"))
    outer = b"".join(
        field.raw
        for field in headers.fields
        if not field.lower.startswith("content-") and field.lower != "mime-version"
    )
    entity = inner + b"\r\n" + opened[headers.body_offset :]
    return (
        outer + b"MIME-Version: 1.0\r\n" + multipart("mixed", (entity, wrap_rfc822(original, filename="original.eml")))
    )


def _unauthenticated(verdicts: Verdicts) -> bool:
    """Decrypted, but nothing says that the plaintext is what the sender wrote (EFAIL: CBC can be spliced)."""
    return verdicts.decryption.status == "decrypted" and verdicts.decryption.integrity in (None, "none")


def neutralised(octets: bytes) -> bytes:
    """The message with active content told to be plain text: a reader shows its source and loads nothing."""
    pieces: list[bytes] = []
    position = 0
    for entity in parse_entity(octets).walk():
        field = entity.headers.first("content-type")
        if field is None or entity.type not in _ACTIVE:
            continue
        charset = entity.content_type.params.get("charset", "utf-8")
        if not charset.isascii() or not all(c.isalnum() or c in "-_.:" for c in charset):
            charset = "utf-8"
        pieces += [octets[position : field.start], f'Content-Type: text/plain; charset="{charset}"\r\n'.encode("ascii")]
        position = field.end
    return b"".join((*pieces, octets[position:]))
