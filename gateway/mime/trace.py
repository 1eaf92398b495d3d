"""What the way of a mail leaves in its header, and what must not be believed there.

Trace fields (RFC 5321 4.4, RFC 5322 3.6.7) are distinguished from the author's; status fields that only we may set
(Sealgate-*, Authentication-Results with our id, RFC 8601 5) and subject tags are taken out of what strangers send.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from unicodedata import category, normalize

from gateway.mime.header import Field, Headers, parse_headers, read_on, splice
from gateway.mime.params import pieces_of
from gateway.mime.words import LINE_MAX, clean, decode_octets, encode_unstructured, unfold
from gateway.model.address import fold as fold_case

TRACE_FIELDS = frozenset({"received", "return-path", "delivered-to", "authentication-results", "dkim-signature",
                          "x-original-to", "received-spf"})
# RFC 8601 2.2: a value (RFC 2045 5.1) and a version.
_ID = re.compile(
    r"""(?:(?P<token>[!#$%&'*+.^_`{|}~0-9A-Za-z-]+)|"(?P<quoted>(?:[^"\\]|\\.)*)")(?:[ \t]+[0-9]+)?""")
_TRACE_OCTETS_MAX = 8_192
_RECEIVED = re.compile(rb"^received:(?:[^\r]|\r\n[ \t])*", re.IGNORECASE | re.MULTILINE)
_RECEIVED_ID = re.compile(rb"\sid[ \t\r\n]+<?([0-9A-Za-z.-]{5,64})>?(?=[\s;])", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)")
# Hangul fillers and empty braille: printable and unseen. U+FFFD: octets of no letter, which some readers drop.
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffd")
_RIGHT_TO_LEFT = "\u202e"
_OPENS = frozenset("\u202a\u202b\u202d\u202e\u2066\u2067\u2068")
_CLOSES = {"\u202c": frozenset("\u202a\u202b\u202d\u202e"), "\u2069": frozenset("\u2066\u2067\u2068")}
_NO_DIRECTION = dict.fromkeys(map(ord, _OPENS | _CLOSES.keys()))
_MIRRORED = str.maketrans("[]()<>{}", "][)(><}{")
_DIRECTED_LETTERS_MAX = 2_000  # of a subject with overrides; no person writes one, and examining it is slow
_INSTANCE = re.compile(r"i[ \t]*=[ \t]*[0-9]+")  # of an ARC set (RFC 8617 4.2.1)


def is_trace(lower: str) -> bool:
    """Whether a field (lower-case name) changes from hop to hop, so that the same mail may come with another one."""
    return lower in TRACE_FIELDS or lower.startswith("arc-")


def authserv_id(value: bytes) -> str:
    """The id that leads an Authentication-Results value (RFC 8601 2.2), lower case, without comments and escapes.

    '' if there is anything else than an id and a version: some other reader may make an id of it.
    """
    return _id_in(pieces_of(decode_octets(unfold(value)))[0])


def _id_in(head: str) -> str:
    found = _ID.fullmatch(head.strip())
    if found is None:
        return ""
    plain = found["token"] or _ESCAPE.sub(r"\1", found["quoted"])
    return plain.strip().lower().rstrip(".")


def forged_status(own_ids: Iterable[str], names: frozenset[str] = frozenset()) -> Callable[[Field], bool]:
    """Whether a field claims what only the gateway may say: for `remove_fields`.

    `names`: further fields that only the gateway writes, in lower case.
    """
    ours = frozenset(one.lower().rstrip(".") for one in own_ids)

    def is_forged(field: Field) -> bool:
        lower = field.lower
        if lower.startswith(("sealgate-", "x-sealgate-")) or lower in names:
            return True
        return lower in ("authentication-results", "arc-authentication-results") and _claims(field, ours)

    return is_forged


def _claims(field: Field, ours: frozenset[str]) -> bool:
    """Ours, or not readable as anybody's; in an ARC set the id is behind 'i=N;'."""
    if field.lower.startswith("arc-"):
        instance, *rest = pieces_of(decode_octets(unfold(field.value)))
        found = _id_in(rest[0]) if rest and _INSTANCE.fullmatch(instance.strip()) else ""
    else:
        found = authserv_id(field.value)
    return not found or found in ours


def strip_tags(subject: str, tags: Sequence[str]) -> str:
    """The subject text without any of the gateway's tags ('[signed]'), ASCII case ignored, at any place; spaces joined.

    Letters that a reader does not see, and spaces, make no other tag of it; compatible letters and brackets are the
    same. What a removal brings together is looked at again ('[sig[signed]ned]' leaves nothing). Where an override of
    the direction of writing shows a tag ('[dengis]' from right to left), or could in a text that is too long to look
    at, all marks of direction go. Linear.
    """
    stripped = _strip_tags(subject, tags)
    if _RIGHT_TO_LEFT not in stripped:
        return stripped
    if len(stripped) <= _DIRECTED_LETTERS_MAX:
        shown = _as_shown(stripped)
        if _strip_tags(shown, tags) == shown:
            return stripped
    return " ".join(stripped.translate(_NO_DIRECTION).split())


def _as_shown(text: str) -> str:
    """The text in the order in which a reader sees it where U+202E is obeyed (UAX #9 X1 to X8, L2), on one line.

    Latin letters keep their order in embeddings and isolates; their effect on spaces and signs is left out.
    """
    frames: list[tuple[str, list[str]]] = [("", [])]
    for letter in text:
        if letter in _OPENS:
            frames.append((letter, []))
        elif letter in _CLOSES:
            if frames[-1][0] in _CLOSES[letter]:
                _close_frame(frames)
        else:
            frames[-1][1].append(letter)
    while len(frames) > 1:
        _close_frame(frames)
    return "".join(frames[0][1])


def _close_frame(frames: list[tuple[str, list[str]]]) -> None:
    """Puts what the innermost frame holds into the one around it, as one piece."""
    opener, pieces = frames.pop()
    if opener == _RIGHT_TO_LEFT:
        # Single letters only: a frame inside has been put in order already.
        pieces = [_alike(piece).translate(_MIRRORED) if len(piece) == 1 else piece for piece in reversed(pieces)]
    frames[-1][1].append("".join(pieces))


def _strip_tags(subject: str, tags: Sequence[str]) -> str:
    """One pass, in the order in which it is written."""
    folded_tags = {_alike(_seen(tag)[1]) for tag in tags} - {""}
    places, letters = _seen(subject)
    folded = _alike(letters)
    if not any(tag in folded for tag in folded_tags):
        return subject
    by_end: dict[str, list[str]] = {}
    for tag in folded_tags:
        by_end.setdefault(tag[-2:], []).append(tag)
    open_places: list[int] = []
    open_letters: list[str] = []
    cuts: list[tuple[int, int]] = []
    for place, letter in zip(places, folded, strict=True):
        open_places.append(place)
        open_letters.append(letter)
        for tag in (*by_end.get("".join(open_letters[-2:]), ()), *by_end.get(letter, ())):
            if "".join(open_letters[-len(tag):]) == tag:
                first = open_places[-len(tag)]
                del open_places[-len(tag):], open_letters[-len(tag):]
                while cuts and cuts[-1][0] > first:
                    cuts.pop()
                cuts.append((first, place + 1))
                break
    ends = [0, *(end for _, end in cuts)]
    starts = [*(start for start, _ in cuts), len(subject)]
    return " ".join("".join(subject[end:start] for end, start in zip(ends, starts, strict=True)).split())


def _seen(text: str) -> tuple[list[int], list[str]]:
    """Places and letters of `text` without spaces, controls, formats and marks that only change the letter before."""
    seen = [(place, letter) for place, letter in enumerate(text) if _is_seen(letter)]
    return [place for place, _ in seen], [letter for _, letter in seen]


def _is_seen(letter: str) -> bool:
    return letter > " " and (
        letter < "\x7f" or (letter.isprintable() and letter not in _BLANK_LETTERS and category(letter) != "Mn"))


def strip_subject_tags(octets: bytes, tags: Sequence[str]) -> bytes:
    """A message whose Subjects lost our tags; the very same octets where there was none.

    Every one of them: which of several is shown, each reader decides for itself.
    """
    if not tags:
        return octets
    headers = read_on(octets, parse_headers(octets))
    changes: list[tuple[Field, bytes]] = []
    for field in headers.all("subject"):
        stripped = without_tags(field, tags)
        if stripped is not None:
            changes.append((field, encode_unstructured(field.name, stripped)))
    return splice(octets, headers, changes)


def without_tags(subject: Field, tags: Sequence[str]) -> str | None:
    """The text of a Subject without our tags; None if it has none, not even in a word whose charset we do not know."""
    for text in dict.fromkeys((subject.text, subject.seen)):
        stripped = strip_tags(text, tags)
        if stripped != text:
            return stripped
    return None


KEYWORDS_MAX = 333  # looked at on either side of a subject: what a line of 998 octets can hold
_BRACKETS = str.maketrans("\u3010\u3011\u3014\u3015\u3016\u3017\u301a\u301b\u27e6\u27e7\u2045\u2046", "[]" * 6)
_OPENING = frozenset("[\uff3b\ufe47") | {chr(letter) for letter, same in _BRACKETS.items() if same == ord("[")}
# What programs and people put before a subject: short words with a colon in any language (`Automatic reply:`; Outlook
# counts: Re[2]:), symbols and numbers. Possessive and bounded, so linear.
_BEFORE = re.compile(r"(?:[^\[:;]{0,40}+(?:\[\d{1,4}\])?[:;])*+(?:[^\w\[]|[_\d])*+")


def keyword_spans(subject: str) -> tuple[tuple[str, int, int], ...]:
    """Bracketed words at the start and end of a subject: (word in lower case without brackets, start, end).

    Letters that a reader does not see, and spaces, make no other word of it; a word with spaces is given with them
    too. Compatible letters and brackets are the same. Short words with a colon, symbols and numbers may be before,
    symbols behind. In the middle they are just text. Generous, because a keyword can only raise protection. At most
    KEYWORDS_MAX on either side; linear in the subject.
    """
    if _OPENING.isdisjoint(subject):
        return ()
    places, letters = _seen(subject)
    text = _alike(letters)
    spans: list[tuple[int, int]] = []
    position = 0
    for _ in range(KEYWORDS_MAX):
        before = _BEFORE.match(text, position)
        start = position if before is None else before.end()
        closing = text.find("]", start)
        if not text.startswith("[", start) or closing < 0:
            break
        position = closing + 1
        spans.append((text.rfind("[", start, closing), position))
    end = len(text)
    for _ in range(KEYWORDS_MAX):
        while end > position and not text[end - 1].isalnum() and text[end - 1] not in "[]":
            end -= 1
        opening = text.rfind("[", position, end)
        if opening < 0 or text[end - 1] != "]":
            break
        spans.append((opening, text.find("]", opening) + 1))
        end = opening
    found: list[tuple[str, int, int]] = []
    for start, stop in spans:
        first, last = places[start], places[stop - 1]
        spaced = "".join(" " if letter.isspace() else _compatible(letter) for letter in subject[first + 1:last]
                         if letter.isspace() or _is_seen(letter))
        words = dict.fromkeys((text[start + 1:stop - 1], fold_case(" ".join(spaced.split()))))
        found += [(word, first, last + 1) for word in words if word]
    return tuple(found)


def _alike(letters: Iterable[str]) -> str:
    """Letters and brackets that readers take for the same, one for one; without ASCII case."""
    return fold_case("".join(map(_compatible, letters)).translate(_BRACKETS))


def _compatible(letter: str) -> str:
    """The one letter that NFKC makes of it; itself where that is several."""
    same = letter if letter < "\x7f" else normalize("NFKC", letter)
    return same if len(same) == 1 else letter


def keywords(subjects: Iterable[str]) -> frozenset[str]:
    """The words of `keyword_spans` of all the subjects: '[encrypt] Hello [secret]' gives both."""
    return frozenset(word for subject in subjects for word, _, _ in keyword_spans(subject))


def without_keywords(octets: bytes, known: frozenset[str]) -> bytes:
    """A message without those keywords of its Subjects that are in `known`; the very same octets if there are none.

    Thread-Topic is Exchange's copy of the Subject.
    """
    headers = read_on(octets, parse_headers(octets))
    changes: list[tuple[Field, bytes]] = []
    for field in headers.fields:
        if field.lower not in ("subject", "thread-topic"):
            continue
        for subject in dict.fromkeys((field.text, field.seen)):
            cuts = {(start, end) for word, start, end in keyword_spans(subject) if word in known}
            if cuts:
                rest = subject
                for start, end in sorted(cuts, reverse=True):
                    rest = rest[:start] + rest[end:]
                changes.append((field, encode_unstructured(field.name, " ".join(rest.split()))))
                break
    return splice(octets, headers, changes)


def message_id(headers: Headers) -> str:
    """The Message-ID with its angle brackets, '' if there is none; cut at what a line can hold (RFC 5322 2.1.1)."""
    field = headers.first("message-id")
    return "" if field is None else field.unfolded[:LINE_MAX]


def came_as(octets: bytes, not_this: str) -> str:
    """The id under which the mail server in front of us had the mail, by the newest Received (RFC 5321 4.4); or ''.

    `not_this`: the gateway's id, which is in its own Received. Only the beginning of a header is looked at.
    """
    end = octets.find(b"\r\n\r\n", 0, _TRACE_OCTETS_MAX)
    for field in _RECEIVED.finditer(octets, 0, end + 2 if end >= 0 else _TRACE_OCTETS_MAX):
        found = _RECEIVED_ID.search(field[0])
        if found is not None and found[1] != not_this.encode():
            return found[1].decode("ascii")
    return ""


def new_message_id(token: str, hostname: str) -> bytes:
    """A Message-ID field from a random token of the caller's."""
    return f"Message-ID: <{clean(token)}@{clean(hostname)}>\r\n".encode("ascii", "replace")
