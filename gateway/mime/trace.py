"""What the way of a mail leaves in its header, and what must not be believed there.

Trace fields (RFC 5321 4.4, RFC 5322 3.6.7) are told from the author's; status fields that only we may set
(Sealgate-*, Authentication-Results with our id, RFC 8601 5) and subject tags are taken out of what strangers send.
"""

from collections.abc import Callable, Iterable, Sequence

from gateway.mime.header import Field, Headers, parse_headers, remove_fields, replace_field
from gateway.mime.words import clean, decode_octets, encode_unstructured, unfold
from gateway.model.address import fold as fold_case

TRACE_FIELDS = frozenset({"received", "return-path", "delivered-to", "authentication-results", "dkim-signature",
                          "x-original-to", "received-spf"})


def is_trace(lower: str) -> bool:
    """Whether a field (lower-case name) changes from hop to hop, so that the same mail may come with another one."""
    return lower in TRACE_FIELDS or lower.startswith("arc-")


def authserv_id(value: bytes) -> str:
    """The id that leads an Authentication-Results value (RFC 8601 2.2), lower case; comments before it skipped."""
    text = decode_octets(unfold(value))
    position, depth = 0, 0
    while position < len(text) and (depth or text[position] in " \t("):
        depth += (text[position] == "(") - (text[position] == ")")
        position += 1
    head = text[position:].partition(";")[0].partition("(")[0].strip().strip('"')
    return head.split()[0].lower().rstrip(".") if head.split() else ""


def forged_status(own_ids: Iterable[str]) -> Callable[[Field], bool]:
    """Whether a field claims what only the gateway may say: for `remove_fields`, on every mail from outside."""
    ours = frozenset(one.lower().rstrip(".") for one in own_ids)

    def is_forged(field: Field) -> bool:
        lower = field.lower
        if lower.startswith(("sealgate-", "x-sealgate-")):
            return True
        return lower in ("authentication-results", "arc-authentication-results") and _claims(field, ours)

    return is_forged


def _claims(field: Field, ours: frozenset[str]) -> bool:
    """Ours, or not readable as anybody's; in an ARC set the id stands behind 'i=N;'."""
    value = field.value
    if field.lower.startswith("arc-"):
        value = value.partition(b";")[2]
    found = authserv_id(value)
    return not found or found in ours


def strip_forged(octets: bytes, own_ids: Iterable[str]) -> bytes:
    """A message from outside without status fields; see `forged_status`."""
    return remove_fields(octets, forged_status(own_ids))


def strip_tags(subject: str, tags: Sequence[str]) -> str:
    """The subject text without any of our tags ('[signed]'), ASCII case ignored, wherever they stand; spaces joined.

    What a removal brings together is looked at again ('[sig[signed]ned]' leaves nothing). One pass.
    """
    wanted = {fold_case(tag.strip()) for tag in tags} - {""}
    by_last: dict[str, list[str]] = {}
    for tag in wanted:
        by_last.setdefault(tag[-1], []).append(tag)
    kept: list[str] = []
    folded: list[str] = []
    found = False
    for letter in subject:
        kept.append(letter)
        folded.append(fold_case(letter))
        for tag in by_last.get(folded[-1], ()):
            if "".join(folded[-len(tag):]) == tag:
                del kept[-len(tag):], folded[-len(tag):]
                found = True
                break
    return " ".join("".join(kept).split()) if found else subject


def strip_subject_tags(octets: bytes, tags: Sequence[str]) -> bytes:
    """A message whose Subject lost our tags; the very same octets where it had none."""
    if not tags:
        return octets
    headers = parse_headers(octets, strict=False)
    field = headers.first("subject")
    if field is None:
        return octets
    text = field.text
    stripped = strip_tags(text, tags)
    return octets if stripped == text else replace_field(octets, field.name, encode_unstructured(field.name, stripped))


KEYWORDS_MAX = 8  # looked at on either side of a subject: what a person writes, not what a stranger could


def keyword_spans(subject: str) -> tuple[tuple[str, int, int], ...]:
    """Bracketed words at the start and end of a subject: (word in lower case without brackets, start, end).

    In the middle they are just text. At most KEYWORDS_MAX on either side; linear in the subject.
    """
    found: list[tuple[str, int, int]] = []
    position = 0
    for _ in range(KEYWORDS_MAX):
        start = position
        while subject[start:start + 1].isspace():
            start += 1
        closing = subject.find("]", start)
        if not subject.startswith("[", start) or closing < 0:
            break
        found.append((subject[start + 1:closing].strip().lower(), start, closing + 1))
        position = closing + 1
    end = len(subject)
    for _ in range(KEYWORDS_MAX):
        while end > position and subject[end - 1].isspace():
            end -= 1
        opening = subject.rfind("[", position, end)
        if opening < 0 or subject[end - 1] != "]":
            break
        found.append((subject[opening + 1:end - 1].strip().lower(), opening, end))
        end = opening
    return tuple(one for one in found if one[0])


def keywords(subject: str) -> frozenset[str]:
    """The words of `keyword_spans`: '[encrypt] Hello [secret]' gives both."""
    return frozenset(word for word, _, _ in keyword_spans(subject))


def without_keywords(octets: bytes, known: frozenset[str]) -> bytes:
    """A message without those keywords of its Subject that are in `known`; the very same octets if there are none."""
    subject = parse_headers(octets).text("subject") or ""
    cuts = [(start, end) for word, start, end in keyword_spans(subject) if word in known]
    if not cuts:
        return octets
    for start, end in sorted(cuts, reverse=True):
        subject = subject[:start] + subject[end:]
    return replace_field(octets, "Subject", encode_unstructured("Subject", " ".join(subject.split())))


def message_id(headers: Headers) -> str:
    """The Message-ID with its angle brackets, '' if there is none."""
    field = headers.first("message-id")
    return "" if field is None else field.unfolded


def new_message_id(token: str, hostname: str) -> bytes:
    """A Message-ID field from a random token of the caller's."""
    return f"Message-ID: <{clean(token)}@{clean(hostname)}>\r\n".encode("ascii", "replace")
