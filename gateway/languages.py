"""The languages that the gateway writes to people in. Each is one directory, `letters/templates/LANGUAGE/`:

    NAME.txt, NAME.html  the mails
    words.json           formats of dates, times and numbers; the words of documents, pages and reports
    reasons.json         every Reason in two sentences: what happened, and the remedy for the other side

English is complete by definition: its reasons are those of `model.sentences`, and another language has to have
everything that English has (`missing`).
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.errors import Reason

ENGLISH: Final = "en"
DIRECTORY: Final = Path(str(files("gateway"))) / "letters" / "templates"
_WORDS: Final = "words.json"
_REASONS: Final = "reasons.json"


@cache
def installed() -> tuple[str, ...]:
    """The languages that have a directory, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in DIRECTORY.glob(f"*/{_WORDS}")))


def primary(language: str) -> str:
    """`de` of `de-AT` (RFC 5646 2.2.1)."""
    return language.partition("-")[0]


def known(language: str) -> str:
    """The installed language of a tag; English where there is none."""
    return next((one for one in (language, primary(language)) if one in installed()), ENGLISH)


@cache
def words(language: str, section: str) -> Mapping[str, str]:
    """A section of the words of `known(language)`: `formats`, `documents`, …

    A word that the language lacks is English; `missing` names it.
    """
    return MappingProxyType({**_sections(ENGLISH).get(section, {}), **_sections(known(language)).get(section, {})})


@cache
def reasons(language: str) -> Mapping[str, tuple[str, str]]:
    """A Reason's value to what happened and the remedy. Empty for English: see `model.sentences`."""
    path = DIRECTORY / known(language) / _REASONS
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return MappingProxyType({name: (what, remedy) for name, (what, remedy) in found.items()})


def missing(language: str, directory: Path = DIRECTORY) -> Iterator[str]:
    """What English has and this language lacks, as `FILE` or `FILE: WORD`. `directory`: of all languages."""
    own, english = directory / language, directory / ENGLISH
    for path in sorted((*english.glob("*.txt"), *english.glob("*.html"))):
        if not (own / path.name).is_file():
            yield f"{language}/{path.name}"
    there = _read(own / _WORDS)
    for section, entries in _read(english / _WORDS).items():
        for name in entries:
            if name not in there.get(section, {}):
                yield f"{language}/{_WORDS}: {section}.{name}"
    if language != ENGLISH:
        sentences = _read(own / _REASONS)
        yield from (f"{language}/{_REASONS}: {one.value}" for one in Reason if one.value not in sentences)


@cache
def _sections(language: str) -> Mapping[str, Mapping[str, str]]:
    return _read(DIRECTORY / language / _WORDS)


def _read(path: Path) -> Mapping[str, Mapping[str, str]]:
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
