"""Every Reason has a reply, three texts, and two of them in every other language.

`remedy` names nothing of the gateway, `admin` only what exists.
"""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel
from typer.exceptions import TyperException

from gateway import languages
from gateway.cli.main import application
from gateway.errors import Reason
from gateway.frontends.replies import WIRES, reply_for_reason
from gateway.model.sentences import SENTENCES, public_texts
from gateway.settings import Settings

ROOT = Path(__file__).parents[2]
WORDS_MAX = 25  # of a sentence
# Words that a reader must stop at, or that search engines and standards do not know.
RETIRED = {
    "told": "a participle as a name: say reported, logged, stated",
    "nobody": "says who does not act instead of who does",
    "whoever": "name the role: the sender, the operator, the customer",
    "somebody": "name the role",
    "anew": "say again, or restart",
    "house": "a metaphor: say bank, gateway or context",
    "lies": "say is in, is stored in",
    "by itself": "say automatically, or name what does it",
    "is no": "say is not, or name what is missing",
}
# What `admin` quotes besides commands and settings: a system's command, and pieces of policies and run files.
NEITHER = {"timedatectl", "stamp: {by: [acme, internal]}", "end: {hand_to: SERVICE}", "accessible: false", "documents"}

# RFC 5248: the registry's subjects and details that a mail gateway can mean; X.7.4 to X.7.7 are cryptography's.
ENHANCED = re.compile(r"[0-7]\.\d{1,2}")
# What a reply may not tell (a path, a host, a setting's name, an exception).
LEAKS = re.compile(r"[/\\]|\w\.(py|ya?ml|db|pem)\b|\w+_\w+|\wError\b|(?i:exception|traceback|sqlite|openssl)")
# What the client itself must do first, in this very session: RFC 4954 6 and RFC 3207 4 fix the code.
DO_FIRST = {Reason.CLIENT_AUTH_REQUIRED, Reason.CLIENT_TLS_REQUIRED}


@pytest.mark.parametrize("reason", list(Reason))
def test_it_has_a_reply(reason: Reason) -> None:
    wire = WIRES[reason]
    assert 400 <= wire.permanent < 600
    assert 400 <= wire.temporary < 500 or (reason in DO_FIRST and wire.temporary == 530)
    assert ENHANCED.fullmatch(wire.detail), wire.detail


@pytest.mark.parametrize("reason", list(Reason))
def test_it_has_three_texts_of_full_sentences(reason: Reason) -> None:
    sentence = SENTENCES[reason]
    texts = (sentence.what, sentence.remedy, sentence.admin)
    for text in texts:
        assert re.fullmatch(r"[A-Z`][ -~]*\.", text), text
        for one in re.split(r"(?<=[.?:]) ", re.sub(r"`[^`]*`", "X", text)):
            assert len(one.split()) <= WORDS_MAX, one
        for word, why in RETIRED.items():
            assert not re.search(rf"\b{word}\b", text, re.IGNORECASE), f"{word!r} is retired ({why}): {text}"
    assert len({sentence.what, sentence.remedy}) == 2
    for text in texts[:2]:
        assert "`" not in text, f"the other side knows no command and no setting: {text}"
        assert "sealgate " not in text.lower(), text


LETTERS = {"de": "[A-ZÄÖÜ][ -~ÄÖÜäöüß]*\\.",
           "fr": "[A-ZÀÇÉÈÊÎÔŒ][ -~ÀÂÇÉÈÊËÎÏÔÙÛŒàâçéèêëîïôùûœ\\u2019«»\\u00a0\\u202f]*\\."}


@pytest.mark.parametrize("language", [one for one in languages.installed() if one != languages.ENGLISH])
@pytest.mark.parametrize("reason", list(Reason))
def test_the_other_side_reads_it_in_its_language_too(reason: Reason, language: str) -> None:
    english, found = public_texts(reason, "en"), public_texts(reason, f"{language}-AT")
    assert found == languages.reasons(language)[reason.value] != english
    for text in found:
        assert re.fullmatch(LETTERS[language], text), text
        assert "`" not in text
        assert not LEAKS.search(re.sub("CR (und|et) LF", "", text)), text
        assert all(len(one.split(" ")) <= WORDS_MAX for one in re.split(r"(?<=[.:]) ", text)), text
    assert found[0] != found[1]


@pytest.mark.parametrize("reason", list(Reason))
def test_the_administrators_remedy_names_what_exists(reason: Reason) -> None:
    admin = SENTENCES[reason].admin
    quoted = re.findall(r"`([^`]*)`", admin)
    assert admin.count("`") == 2 * len(quoted), admin
    for one in quoted:
        if one.startswith("sealgate "):
            assert not _wrong_in(one), f"{one}: {_wrong_in(one)}"
        else:
            assert one in NEITHER or one.partition(": ")[0] in _settings(), f"`{one}` is not a command or a setting"
    for page in re.findall(r"docs/[a-z-]+\.md", admin):
        assert (ROOT / page).is_file(), page


@pytest.mark.parametrize("call", ["sealgate cert seek ADDRESS", "sealgate cert", "sealgate hold list --every",
                                  "sealgate init --database now", "sealgate statements show"])
def test_a_command_that_does_not_exist_is_found(call: str) -> None:
    assert _wrong_in(call)


def _wrong_in(call: str) -> str:
    """'' if the CLI accepts this call with its placeholders, else what is wrong with it."""
    command, words = _cli(), shlex.split(call)[1:]
    if words[0] == "--config":
        words = words[2:]
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    if words == ["--help"]:
        return ""
    if hasattr(command, "commands"):
        return f"not a command: {' '.join(words[:1])}"
    try:
        command.make_context(command.name, words)
    except TyperException as error:
        return str(error)
    return ""


@cache
def _cli() -> Any:
    return typer.main.get_command(application([]))


@cache
def _settings() -> frozenset[str]:
    """Each setting by its dotted path; `clients[].from`: of each entry of a list."""
    return frozenset(_paths(Settings, ""))


def _paths(section: type[BaseModel], before: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        path = f"{before}{field.alias or name}"
        yield path
        for inner, listed in _sections(field.annotation, listed=False):
            yield from _paths(inner, f"{path}[]." if listed else f"{path}.")


def _sections(annotation: object, *, listed: bool) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, listed
    for inner in get_args(annotation):
        yield from _sections(inner, listed=listed or get_origin(annotation) is tuple)


def test_the_tables_name_no_reason_that_is_gone() -> None:
    assert set(WIRES) == set(SENTENCES) == set(Reason)


@pytest.mark.parametrize("permitted", [True, False], ids=["permitted", "stranger"])
@pytest.mark.parametrize("retry", [True, False], ids=["later", "never"])
@pytest.mark.parametrize("reason", list(Reason))
def test_the_reply_leaks_nothing_and_its_class_fits(reason: Reason, retry: bool, permitted: bool) -> None:
    incident = "0123456789abcdef"
    for line in reply_for_reason(reason, retry=retry, permitted=permitted, incident=incident).octets().splitlines():
        text = line.decode("ascii")
        assert len(line) <= 510
        assert text[0] == text[4], f"the enhanced code's class is not the code's: {text}"
        assert text[0] == "4" or not retry or reason in DO_FIRST, f"a temporary fault was refused for good: {text}"
        told = text[10:].replace(incident, "")
        assert not LEAKS.search(told), told
    assert incident in text


def test_the_vocabulary_is_dotted_and_closed() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", reason.value), reason
    assert len({reason.value for reason in Reason}) == len(Reason)
