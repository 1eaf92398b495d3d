"""Takes a mail apart for its page in a PDF: its header, its text and the attached files.

What readers of mail see and in the order in which they see it (RFC 2045, 2046, 2387, 3676); nothing is left out: a part
that cannot be drawn comes as a file.
"""

import mimetypes
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.mime.entity import Entity, decode, parse_entity
from gateway.mime.words import codec_of, decode_as
from gateway.pdf.html_text import CHARACTERS_MAX, text_of
from gateway.pdf.plain import cleaned

FILES_MAX: Final = 200
NAME_CHARACTERS_MAX: Final = 120
FIELD_CHARACTERS_MAX: Final = 2_000
TEXT_OCTETS_MAX: Final = 131_072  # of what is drawn: 50 pages, and a second or two; a longer text comes as a file
SHOWN: Final = ("from", "to", "cc", "date", "subject")
_LONGER: Final = 2  # HTML that says so many times as much as the text beside it is the mail
_SEPARATORS: Final = re.compile(r"[/\\:]")


@dataclass(frozen=True, slots=True)
class File:
    """One file. `name` is unique within its mail, without a path; `media_type` such as text/csv."""

    name: str
    media_type: str
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Content:
    """`fields`: lower-case name to decoded value, in the order of SHOWN; `text` with LF; `whole`: all of it is text."""

    subject: str
    fields: tuple[tuple[str, str], ...]
    text: str = field(repr=False)
    files: tuple[File, ...]


def content_of(octets: bytes) -> Content:
    """Of a whole message. GatewayError PDF_TOO_LARGE for more than FILES_MAX files, INPUT_LIMIT_EXCEEDED."""
    root = parse_entity(octets)
    parts = _Parts()
    parts.take(root)
    fields = tuple((name, ", ".join(texts)[:FIELD_CHARACTERS_MAX]) for name in SHOWN
                   if (texts := [_line(one) for one in root.headers.texts(name)]))
    text = "\n\n".join(one for one in parts.texts if one.strip())
    return Content(_line(root.headers.text("subject") or ""), fields, text, tuple(parts.files.values()))


class _Parts:
    """Gathers as it walks."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.files: dict[str, File] = {}
        self._left = TEXT_OCTETS_MAX

    def take(self, entity: Entity) -> None:
        """One entity and what is in it. Its depth is bounded by the parser's."""
        if entity.is_multipart and entity.children:
            kind = entity.type.partition("/")[2]
            if kind == "alternative":
                self._alternative(entity)
            elif kind == "signed":
                for child in entity.children:
                    self.take(child)
            else:
                for child in entity.children:
                    self.take(child)
        elif self._is_text(entity):
            self._text(entity)
        else:
            self._file(entity)

    def _alternative(self, entity: Entity) -> None:
        """The plain text, or the HTML where that says much more; what else there is inside comes as files."""
        plain = next((one for one in entity.children if one.type == "text/plain" and self._is_text(one)), None)
        rich = next((one for one in reversed(entity.children) if _html_in(one) is not None), None)
        chosen = plain or rich or entity.children[-1]
        if plain is not None and rich is not None:
            html = _html_in(rich)
            length = len(_decoded(plain).strip())
            if html is not None and len(text_of(_decoded(html))) > _LONGER * length:
                chosen = rich
        for child in entity.children:
            if child is chosen:
                self.take(child)
            elif child.is_multipart:
                self._files_in(child)
            elif child.type not in {"text/plain", "text/html"}:
                self._file(child)

    def _files_in(self, entity: Entity) -> None:
        """Of a way to say the text that is not chosen: all but that text itself, also files of a text type."""
        for child in entity.children:
            if child.is_multipart and child.children:
                self._files_in(child)
            elif child.type not in {"text/plain", "text/html"} or child.disposition == "attachment" or child.filename:
                self._file(child)

    def _is_text(self, entity: Entity) -> bool:
        return (entity.type in {"text/plain", "text/html"} and entity.disposition != "attachment"
                and entity.end - entity.body_start <= self._left)

    def _text(self, entity: Entity) -> None:
        self._left -= entity.end - entity.body_start
        text, exact = _read(entity)
        if not exact:  # readers may know better than we what its octets are
            self._file(entity)
        if entity.type == "text/html":
            text = text_of(text)
        elif entity.content_type.params.get("format", "").lower() == "flowed":
            text = _unflowed(text, delete=entity.content_type.params.get("delsp", "").lower() == "yes")
        self.texts.append(cleaned(text.replace("\r\n", "\n").replace("\r", "\n")))

    def _file(self, entity: Entity) -> None:
        octets = entity.children[0].raw if entity.type == "message/rfc822" and entity.children else decode(entity)
        if not octets.strip() and entity.filename is None:
            return
        if len(self.files) >= FILES_MAX:
            raise GatewayError(Reason.PDF_TOO_LARGE, f"more than {FILES_MAX} files are attached")
        name = free_name(_name(entity, len(self.files) + 1), self.files)
        self.files[name] = File(name, entity.type, octets)


def _html_in(entity: Entity) -> Entity | None:
    """The HTML itself, or the root of a multipart/related (RFC 2387) or multipart/mixed around it."""
    while entity.is_multipart and entity.children:
        entity = entity.children[0]
    return entity if entity.type == "text/html" and entity.end - entity.body_start <= CHARACTERS_MAX else None


def _decoded(entity: Entity) -> str:
    return _read(entity)[0]


def _read(entity: Entity) -> tuple[str, bool]:
    """The text of a part in its charset, and whether that is certain.

    What is no text in its charset is shown as the replacement character. An unknown charset is taken for UTF-8, or for
    windows-1252.
    """
    octets = decode(entity)
    charset = entity.content_type.params.get("charset", "")
    codec = codec_of(charset)
    for tried in ("utf_8",) if codec in (None, "ascii") else (codec,):
        try:
            return decode_as(octets, tried), codec is not None or not charset or octets.isascii()
        except UnicodeDecodeError:
            continue
    return decode_as(octets, codec or "cp1252", "replace"), codec == "ascii" or not charset


def _unflowed(text: str, *, delete: bool) -> str:
    """RFC 3676 4: a line that ends in a space goes on in the next one, but for the line above a signature."""
    out: list[str] = []
    flowing = False
    for line in text.replace("\r\n", "\n").split("\n"):
        shown = line.removeprefix(" ")  # stuffed
        if flowing and not shown.startswith(">") and shown != "-- ":
            out[-1] += shown
        else:
            out.append(shown)
        flowing = shown.endswith(" ") and shown != "-- "
        if flowing and delete:
            out[-1] = out[-1][:-1]
    return "\n".join(out)


def _line(text: str) -> str:
    return " ".join(cleaned(text).split())


def _name(entity: Entity, number: int) -> str:
    """What the sender called it, without a path and without what cannot be seen."""
    given = _SEPARATORS.split(_line(entity.filename or ""))[-1].strip(" .")
    if not given:
        ending = ".eml" if entity.type == "message/rfc822" else mimetypes.guess_extension(entity.type) or ".bin"
        given = f"attachment-{number}{ending}"
    if len(given) > NAME_CHARACTERS_MAX:
        stem, dot, ending = given.rpartition(".")
        given = f"{stem[:NAME_CHARACTERS_MAX - 20]}{dot}{ending[:19]}"
    return given


def free_name(name: str, taken: Iterable[str]) -> str:
    """The name, or one like it that no other file has; many systems ignore letter case."""
    folded = {one.casefold() for one in taken}
    return next(one for one in _like(name) if one.casefold() not in folded)


def _like(name: str) -> Iterator[str]:
    yield name
    stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
    for number in range(2, FILES_MAX + 2):
        yield f"{stem}-{number}{dot}{ending}"
