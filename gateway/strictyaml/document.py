"""A document as plain values with the place of each, and the problems of a file."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import GatewayError, Reason

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in a file. `place` is 'file:line:column', counted from 1; `remedy` '' if none is known."""

    place: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" + (f" ({self.remedy})" if self.remedy else "")


class YamlProblems(GatewayError):  # noqa: N818 - it is a list of them
    """All problems of one or several files, in the order of their places: CONFIG_INVALID."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(Reason.CONFIG_INVALID, "\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values (dict, list, str, int, float, bool, None) and the place of each.

    `marks`: path of a value to (line, column) of the value, from 1; `keys`: the same for the key that names it.
    """

    name: str
    value: Any
    marks: Mapping[Path, tuple[int, int]] = field(repr=False)
    keys: Mapping[Path, tuple[int, int]] = field(repr=False)

    def place(self, path: Path, *, key: bool = False) -> str:
        """'file:line:column' of the value at `path`, or of the nearest thing around it that exists."""
        while True:
            mark = (self.keys.get(path) if key else None) or self.marks.get(path)
            if mark is not None or not path:
                line, column = mark or (1, 1)
                return f"{self.name}:{line}:{column}"
            path = path[:-1]

    def problem(self, path: Path, text: str, remedy: str = "", *, key: bool = False) -> Problem:
        """A Problem at `path`."""
        return Problem(self.place(path, key=key), text, remedy)


def nearest(word: str, words: Iterable[str]) -> str:
    """A remedy that names the nearest of `words`: 'did you mean `sign`?', '' if none is near."""
    known = {w.lower(): w for w in words}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean `{known[found[0]]}`?" if found else ""


def one_of(words: Iterable[str]) -> str:
    """A remedy that names all valid words."""
    words = sorted(words)
    return f"the only valid value is {words[0]}" if len(words) == 1 else "one of: " + ", ".join(words)
