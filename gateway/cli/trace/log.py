"""Log lines about a mail: the gateway's, which are JSON, and those of the mail servers beside it."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

LINE_MAX: Final = 65_536  # characters; the gateway's line names every recipient
_STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_WORDS: Final = re.compile(r"[^\s\"'=,;<>\[\](){}]+")


@dataclass(frozen=True, slots=True)
class Line:
    """`at` None: the line has no unambiguous time. `fields`: of a line of the gateway."""

    at: datetime | None
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


def lines_about(lines: Iterable[str], words: frozenset[str]) -> Iterator[Line]:
    """The lines in which one of the words occurs as a word of its own."""
    if not words:
        return
    for line in lines:
        text = line.rstrip("\r\n")[:LINE_MAX]
        if any(word in text for word in words) and any(_stands_in(text, word) for word in words):
            yield _read(text)


def _stands_in(text: str, word: str) -> bool:
    """Queue ids end in a colon in Postfix's log, Message-IDs are in brackets, incidents at a sentence's end."""
    return any(found.rstrip(":.") == word for found in _WORDS.findall(text))


def _read(text: str) -> Line:
    begin = text.find("{")
    if begin >= 0:
        try:
            fields = json.loads(text[begin:])
        except ValueError:
            fields = None
        if isinstance(fields, dict) and "event" in fields:
            return Line(_moment(str(fields.get("timestamp", ""))), text, fields)
    found = _STAMP.match(text)
    return Line(_moment(found[0]) if found else None, text)


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
