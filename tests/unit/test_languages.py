"""A language is one directory, and what it lacks is named."""

import json
import shutil
from pathlib import Path

import pytest

from gateway import languages
from gateway.errors import Reason


def test_every_language_is_complete() -> None:
    assert {"de", "en"} <= set(languages.installed())
    assert [one for language in languages.installed() for one in languages.missing(language)] == []


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    shutil.copytree(languages.DIRECTORY, tmp_path, dirs_exist_ok=True)
    (tmp_path / "de" / "code.html").unlink()
    for name, section, word in (("words.json", "formats", "clock"), ("reasons.json", Reason.INTERNAL.value, "")):
        file = tmp_path / "de" / name
        found = json.loads(file.read_text("utf-8"))
        if word:
            del found[section][word]
        else:
            del found[section]
        file.write_text(json.dumps(found), "utf-8")
    assert list(languages.missing("de", tmp_path)) == [
        "de/code.html", "de/words.json: formats.clock", f"de/reasons.json: {Reason.INTERNAL.value}"]


@pytest.mark.parametrize("asked, found", [("de", "de"), ("de-AT", "de"), ("xx", "en"), ("", "en")])
def test_a_tag_has_the_texts_of_its_language_else_english(asked: str, found: str) -> None:
    assert languages.known(asked) == found
    assert languages.words(asked, "documents") == languages.words(found, "documents")


@pytest.mark.parametrize("language", languages.installed())
def test_no_language_has_words_that_english_lacks(language: str) -> None:
    english = json.loads((languages.DIRECTORY / "en" / "words.json").read_text("utf-8"))
    own = json.loads((languages.DIRECTORY / language / "words.json").read_text("utf-8"))
    assert {section: set(entries) for section, entries in own.items()} == {
        section: set(entries) for section, entries in english.items()}
    for section, entries in own.items():
        for name, text in entries.items():
            places = {part.partition("}")[0] for part in text.split("{")[1:]}
            assert section == "formats" or places == {
                part.partition("}")[0] for part in english[section][name].split("{")[1:]}, f"{section}.{name}"
