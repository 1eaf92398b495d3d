"""What the bank's mail server gets of an inbound mail: opened, as received, or an explanation with the original."""

import re
from collections.abc import Sequence
from typing import Final

from gateway.errors import Reason
from gateway.letters.write import Letter
from gateway.mime.build import multipart, text, wrap_rfc822
from gateway.mime.canonical import with_short_lines
from gateway.mime.entity import Entity, parse_entity
from gateway.mime.header import Field, parse_headers, prepend_fields, remove_fields
from gateway.mime.params import parse_parameters
from gateway.mime.words import encode_unstructured
from gateway.model.mail import Mail, Recipient
from gateway.model.sentences import public_texts
from gateway.model.verdict import Verdicts
from gateway.pipeline.context import Context
from gateway.pipeline.inbound.status import has_stray_reply_to, status_fields
from gateway.smime.draft import Draft
from gateway.smime.open import Opened
from gateway.smime.seal import labelled

_ORIGINAL: Final = "original.eml"
_KEPT: Final = frozenset(
    {"received", "return-path", "from", "to", "cc", "date", "message-id", "reply-to", "references", "in-reply-to"}
)
_ANSWER_FIELDS: Final = ("sender", "reply-to", "mail-reply-to", "mail-followup-to", "followup-to")
_TYPE: Final = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+[ \t]*/[ \t]*[!#$%&'*+.^_`{|}~0-9A-Za-z-]+")
_ACTIVE: Final = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"})


def compose(context: Context, mail: Mail, opened: Opened, draft: Draft, recipients: Sequence[Recipient]) -> bytes:
    """The octets that go on to these recipients.

    Status fields are on top, after all such fields from outside were stripped; the trust card over all of it.
    """
    verdicts = opened.verdicts
    octets = mail.octets
    if draft.opened:
        octets = _opened(context, mail, opened)
        if draft.keep_original and octets is not mail.octets:
            octets = _with_original(octets, mail.octets)
    if has_stray_reply_to(verdicts):
        octets = remove_fields(octets, _ANSWER_FIELDS)
    octets = with_short_lines(labelled(octets, draft.subject_tag, draft.headers))
    addresses = tuple(recipient.address for recipient in recipients)
    fields = status_fields(context.identity.authserv_id, verdicts, addresses)
    if context.card is not None:
        fields = (context.card.field(octets, verdicts, addresses, context.clock.now()), *fields)
    return prepend_fields(octets, *fields)


def _opened(context: Context, mail: Mail, opened: Opened) -> bytes:
    """The opened form; a mail that could not be opened arrives as an attachment to a plain explanation."""
    decryption = opened.verdicts.decryption
    if decryption.status in ("no_key", "failed"):
        letter = _explanation(context, mail, decryption.reason or Reason.DECRYPTION_FAILED)
        return _around(mail.octets, text(letter.text), letter.subject)
    return neutralised(opened.octets) if _unauthenticated(opened.verdicts) else opened.octets


def _explanation(context: Context, mail: Mail, reason: Reason) -> Letter:
    notices, kind = context.notices, "not_decrypted"
    language = notices.chosen(kind, None)
    what, remedy = public_texts(reason, language)
    return notices.write(kind, language, {
        "what": what, "remedy": remedy, "file": _ORIGINAL, "at": mail.origin.received_at,
        "postmaster": context.identity.postmaster, "incident": mail.origin.incident})


def _around(original: bytes, explanation: bytes, subject: str) -> bytes:
    """A mail to the same people that explains, with the original as it came inside."""
    outer = b"".join(field.raw for field in parse_headers(original).fields if field.lower in _KEPT)
    body = multipart("mixed", (explanation, wrap_rfc822(original, filename=_ORIGINAL)))
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
        outer + b"MIME-Version: 1.0\r\n" + multipart("mixed", (entity, wrap_rfc822(original, filename=_ORIGINAL)))
    )


def _unauthenticated(verdicts: Verdicts) -> bool:
    """Decrypted, but nothing says that the plaintext is what the sender wrote (EFAIL: CBC can be spliced)."""
    return verdicts.decryption.status == "decrypted" and verdicts.decryption.integrity in (None, "none")


def neutralised(octets: bytes) -> bytes:
    """The message with active content labelled as plain text: a reader shows its source and loads nothing.

    Of several types of one part the first stays: another reader would take the last.
    """
    pieces: list[bytes] = []
    position = 0
    for entity in parse_entity(octets).walk():
        for number, field in enumerate(entity.headers.all("content-type")):
            if number == 0 and not _may_be_active(entity, field):
                continue
            pieces += [octets[position : field.start], b"" if number else _plain(entity)]
            position = field.end
    return b"".join((*pieces, octets[position:]))


def _may_be_active(entity: Entity, field: Field) -> bool:
    """Also what is not written as a type must be (RFC 2045 5.1), and an encoded message whose parts are not visible."""
    main, _ = parse_parameters(field.value)
    if entity.type in _ACTIVE or "html" in entity.content_type.subtype or not _TYPE.fullmatch(main):
        return True
    return entity.type in ("message/rfc822", "message/global") and not entity.children


def _plain(entity: Entity) -> bytes:
    charset = entity.content_type.params.get("charset", "utf-8")
    if not charset.isascii() or not all(c.isalnum() or c in "-_.:" for c in charset):
        charset = "utf-8"
    return f'Content-Type: text/plain; charset="{charset}"\r\n'.encode("ascii")
