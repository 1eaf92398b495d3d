"""Header protection written (RFC 9788; what is structural, user-facing, payload: RFC 9787). Read in `unprotect.py`.

The payload carries a copy of the author's fields and says so: hp="clear" where it is only signed, hp="cipher" where
it is encrypted, then with HP-Outer fields that list the fields outside. The confidentiality policy is hcp_baseline
(RFC 9788 3.2.1): Subject replaced, Keywords and Comments left out. protected-headers="v1" is beside hp=, because
readers of the older draft (Thunderbird) show a protected subject only by it. Never written: the message/rfc822 form
of RFC 8551 3.1 (RFC 9788 4.10: must not be generated).
Not copied inside: trace fields, which are not the author's, and Bcc, which every recipient could read there.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gateway.mime.entity import Entity, parse_entity
from gateway.mime.header import Field, Headers, parse_headers
from gateway.mime.params import ContentType, format_field, parse_content_type
from gateway.mime.trace import is_trace
from gateway.mime.words import LINE_MAX, encode_unstructured
from gateway.smime import legacy_display as display
from gateway.smime.unprotect import ProtectedHeaders, unprotect

__all__ = ["DEFAULT_OUTER_SUBJECT", "Protected", "ProtectedHeaders", "protect", "split", "unprotect"]

DEFAULT_OUTER_SUBJECT = "[...]"
_HIDDEN = frozenset({"keywords", "comments"})  # hcp_baseline takes them away outside
_SUBJECTS = frozenset({"subject", "thread-topic"})  # the second is Exchange's copy
_PRIVATE = frozenset({"bcc", "resent-bcc", "hp-outer"})
_MARKS = frozenset({"hp", "protected-headers", display.MARK})


@dataclass(frozen=True, slots=True)
class Protected:
    """`payload`: the entity to be signed and encrypted. `outer`: whole fields for the outside, each with CRLF,

    without MIME-Version and Content fields: those come with the outermost layer.
    """

    payload: bytes
    outer: bytes


def is_structural(lower: str) -> bool:
    """Fields about the entity's own form (RFC 9787 1.1.1): they stay with the body they describe."""
    return lower.startswith("content-") or lower == "mime-version"


def split(message: bytes, *, encrypt: bool = False) -> Protected:
    """A message cut into its entity and its other fields, no field protected."""
    headers = parse_headers(message)
    structural = [_whole(f) for f in headers.fields if is_structural(f.lower) and f.lower != "mime-version"]
    outer = [_whole(f) for f in headers.fields
             if not is_structural(f.lower) and not (encrypt and _tells_of_the_body(f.lower))]
    return Protected(_entity(structural, memoryview(message)[headers.body_offset:]), b"".join(outer))


def _entity(fields: list[bytes], body: bytes | memoryview) -> bytes:
    return b"".join((*fields, b"\r\n", body))


def protect(
    message: bytes, parsed: Entity | None = None, *, outer_subject: str | None = DEFAULT_OUTER_SUBJECT, encrypt: bool,
    legacy_display: bool = True,
) -> Protected:
    """The payload of a 7-bit message with its fields inside, and the fields outside.

    `parsed`: spares parsing (at 5 KiB half of the work) where it is of this very `message`, else it is passed over.

    `outer_subject`: the text outside when encrypting, None leaves the real one there; nothing is hidden when only
    signing. `legacy_display`: repeat a hidden subject in the text. Raises INPUT_LIMIT_EXCEEDED.
    """
    root = parsed if parsed is not None and _is_root(parsed, message) else None
    headers = root.headers if root is not None else parse_headers(message)
    subject_outside = outer_subject if encrypt else None
    fields: list[bytes] = []
    outside: list[bytes] = []
    announced: list[bytes] = []
    structural: list[Field] = []
    shown: list[tuple[str, str]] = []
    subject = headers.first("subject")
    for field in headers.fields:  # once: a mail has some twenty of them, and each look costs
        nature = _nature(field.lower)
        if nature.structural:
            structural.append(field)
            continue
        whole = _whole(field)
        raw = _outside(field.lower, whole, nature, subject_outside, hide=encrypt)
        if raw:
            outside.append(raw)
        if field is subject and raw != whole:
            shown.append(("Subject", field.text))
        if not nature.copied:
            continue
        fields.append(whole)
        if encrypt and raw:
            announced.append(_hp_outer(raw))
    content_type, body, encoding = _payload_body(message, headers, root, shown if legacy_display else [])
    fields += announced
    fields.append(_mark(content_type, "cipher" if encrypt else "clear"))
    if encoding is not None:
        fields.append(encoding)
    fields += [_whole(field) for field in structural
               if field.lower not in ("mime-version", "content-type")
               and not (encoding is not None and field.lower == "content-transfer-encoding")]
    return Protected(_entity(fields, body), b"".join(outside))


def _is_root(entity: Entity, message: bytes) -> bool:
    return entity.octets is message and entity.start == 0 and entity.end == len(message)


class _Nature(NamedTuple):
    """What a field's name says: of the entity itself; copied inside; kept from the outside where that is encrypted."""

    structural: bool
    copied: bool
    hidden: bool


@lru_cache(maxsize=1024)  # all mails have the same hundred names, of at most 998 octets
def _nature(lower: str) -> _Nature:
    return _Nature(is_structural(lower), lower not in _PRIVATE and not is_trace(lower),
                   lower in _HIDDEN or _tells_of_the_body(lower))


def _outside(lower: str, whole: bytes, nature: _Nature, outer_subject: str | None, *, hide: bool) -> bytes:
    """The `whole` field as it is outside, b'' if it is not outside."""
    if lower == "hp-outer" or (hide and nature.hidden):
        return b""
    if lower in _SUBJECTS and outer_subject is not None:
        return _subject(outer_subject) if lower == "subject" else b""
    return whole


@lru_cache(maxsize=64)  # policies name a few of them
def _subject(text: str) -> bytes:
    return encode_unstructured("Subject", text)


def _tells_of_the_body(lower: str) -> bool:
    """Signatures of hops before us: void once the body is sealed, and their hash of it lets a short one be guessed."""
    return lower.endswith(("dkim-signature", "domainkey-signature")) or lower.startswith("arc-")


def _whole(field: Field) -> bytes:
    """The field with its line end, which the last one of a header without a body may lack."""
    return field.raw if field.raw.endswith(b"\n") else field.raw + b"\r\n"


def _hp_outer(raw: bytes) -> bytes:
    """RFC 9788 2.2; a first line that would grow too long is folded behind the names."""
    width = LINE_MAX - len(b"HP-Outer: ")
    if len(raw) <= width or len(raw.partition(b"\r\n")[0]) <= width:
        return b"HP-Outer: " + raw
    name, colon, value = raw.partition(b":")
    return b"HP-Outer: " + name + colon + b"\r\n " + value.lstrip(b" \t")


def _payload_body(
    message: bytes, headers: Headers, root: Entity | None, shown: list[tuple[str, str]],
) -> tuple[ContentType, bytes | memoryview, bytes | None]:
    """The root's content type, the body, and a new Content-Transfer-Encoding field if the root got another one."""
    field = headers.first("content-type")
    plain = parse_content_type(field.value if field else b"text/plain")  # no charset: the author set none
    if not _MARKS.isdisjoint(plain.params):
        params = {name: value for name, value in plain.params.items() if name not in _MARKS}
        plain = ContentType(plain.type, plain.subtype, params)
    if not shown:
        return plain, memoryview(message)[headers.body_offset:], None
    root = root or parse_entity(message)
    made = display.add(root, shown)
    return made.root_type or plain, display.apply(message, made.splices, root.body_start), made.root_encoding


def _mark(content_type: ContentType, hp: str) -> bytes:
    params = {name: value for name, value in content_type.params.items() if name not in ("hp", "protected-headers")}
    return format_field("Content-Type", content_type.full, {**params, "hp": hp, "protected-headers": "v1"})
