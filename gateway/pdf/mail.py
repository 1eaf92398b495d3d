"""A mail drawn as pages that can be read aloud (PDF/UA-1, ISO 14289-1): its header, its text, the names of its files.

Drawn with the fonts of the distribution (Latin, Greek, Cyrillic) and those of the machine. What no font has is shown as
U+FFFD, and the text is attached as a file as well, so that nothing that was written is lost. What takes too long or too
much to draw is a file alone.
"""

import json
import re
from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from gateway import languages
from gateway.errors import GatewayError, Reason
from gateway.pdf.content import Content, File, free_name
from gateway.pdf.renderer import FONTS, Renderer

_PAGE: Final = Path(__file__).parent / "mail_page"
_FILE: Final = "mail.typ"
_KIB: Final = 1024
_LINES_MAX: Final = 250  # in one paragraph: setting one costs more than its lines
_NARROW: Final = range(0x2600)  # what machines often have fonts for: no pictures, nothing of East Asia
_NO_BREAK: Final = "\u00a0"
_MAY_BREAK: Final = "\u200b"
_COLUMNS: Final = re.compile(r"\S {3,}\S")
_LONG: Final = re.compile(r"\S{41,}")
_PIECES: Final = re.compile(r".{1,20}", re.DOTALL)


class MailPages:
    """Threads may share one."""

    def __init__(self, renderer: Renderer, bank: str = "", colour: str = "#14324f") -> None:
        """`bank`: its name, above each mail; '' = not shown. `colour`: of the name and the rule below it."""
        self._renderer = renderer
        self._bank, self._colour = bank, colour

    def draw(self, content: Content, language: str, at: datetime) -> tuple[bytes, tuple[File, ...]]:
        """The PDF, not locked yet, and the files to attach. `at`: aware, the time of its creation.

        GatewayError PDF_NOT_MADE, PDF_TOO_LARGE.
        """
        language = languages.known(language)
        words = languages.words(language, "message_pdf")
        name = free_name(words["text"], [one.name for one in content.files])
        text_file = File(name, "text/plain", content.text.encode())
        files = (text_file, *content.files)
        tries = [content, _with(content, _glyphs(), files), replace(_with(content, _glyphs(), files), text="")]
        if _drawable(content):
            del tries[1]
        else:
            tries.insert(1, _with(content, _NARROW, files))
        for number, shown in enumerate(tries, 1):
            try:
                return self._render(shown, words, language, at), shown.files
            except GatewayError as trouble:
                if trouble.reason is not Reason.PDF_NOT_MADE or number == len(tries):
                    raise
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """The processes that rest end."""
        self._renderer.close()

    def _render(self, content: Content, words: Mapping[str, str], language: str, at: datetime) -> bytes:
        mail = {
            "language": language,
            "bank": _shown(self._bank, _glyphs()),
            "colour": self._colour,
            "title": content.subject or words["none"],
            "fields": [[words[name], value] for name, value in content.fields if name != "subject"],
            "paragraphs": _paragraphs(content.text),
            "files": [[_shown(one.name, _glyphs()), _size(len(one.octets))] for one in content.files],
            "files_title": words["files"],
            "files_note": words["note"],
        }
        return self._renderer.render(_PAGE, _FILE, {"mail": json.dumps(mail)}, at)


def _paragraphs(text: str) -> list[dict[str, object]]:
    """Lines between empty ones. Where spaces line something up, every letter is as wide as any other."""
    paragraphs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            if len(paragraphs[-1]) == _LINES_MAX:
                paragraphs.append([])
            paragraphs[-1].append(line.rstrip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return [{"even": any(_COLUMNS.search(line) for line in lines), "lines": [_written(line) for line in lines]}
            for lines in paragraphs if lines]


def _written(line: str) -> str:
    """Spaces stay as many as they are; a word that is wider than a page may be broken."""
    words = line.lstrip(" ")
    words = (_NO_BREAK * (len(line) - len(words)) + words).replace("  ", _NO_BREAK * 2)
    return _LONG.sub(lambda found: _MAY_BREAK.join(_PIECES.findall(found[0])), words)


def _size(octets: int) -> str:
    return f"({octets} B)" if octets < _KIB else f"({-(-octets // _KIB)} KiB)"


@cache
def _glyphs() -> frozenset[int]:
    """What the fonts of the distribution can draw, upright and bold."""
    from reportlab.pdfbase.ttfonts import TTFontFile  # takes long to import

    found = [frozenset(TTFontFile(str(path)).charToGlyph) for path in sorted(FONTS.glob("*.ttf"))]
    return frozenset.intersection(*found) | {0x0A}


def _drawable(content: Content) -> bool:
    texts = [content.text, content.subject, *(value for _, value in content.fields)]
    return all(text.isascii() or _glyphs().issuperset(map(ord, set(text))) for text in texts)


def _with(content: Content, glyphs: Container[int], files: tuple[File, ...]) -> Content:
    """With U+FFFD for all that is not among these, and with these files."""
    return replace(content, files=files, subject=_shown(content.subject, glyphs), text=_shown(content.text, glyphs),
                   fields=tuple((name, _shown(value, glyphs)) for name, value in content.fields))


def _shown(text: str, glyphs: Container[int]) -> str:
    return text if text.isascii() else "".join(one if ord(one) in glyphs else "\ufffd" for one in text)
