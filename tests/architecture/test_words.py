"""Retired words stay out of names and text: a search for the standard term must find the thing (docs/glossary.md)."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Word in a file or class name: the term to use. Each was a metaphor that hid the standard term.
RETIRED = {
    "house": "context",
    "crew": "worker pool",
    "poison": "failure counter",
    "together": "shared limits",
    "wishes": "fetch requests",
    "speakers": "authorised signers",
    "forgetful": "memory protection",
    "pulse": "heartbeat",
    "met": "unknown authorities",
    "many": "bulk",
    "caught": "dry run",
    "once": "idempotency",
    "few": "concurrency limit",
    "paid": "transaction",
    "forgetting": "memory release",
    "seen": "measurements",
}
# Word in any name: a participle or a pronoun does not say what the thing is.
RETIRED_IN_NAMES = {
    "told": "report, notice, state",
    "said": "answer, detail",
    "surprise": "unexpected error",
    "wish": "fetch request",
    "wanted": "expected value, request, condition",
    "nobody": "what is absent",
    "somebody": "the role",
    "crew": "worker pool",
    "house": "context",
}
# Word or phrase in a docstring or comment: what to write. Names in backticks do not count.
RETIRED_IN_TEXT = {
    "nobody": "the role that does not act: no client, no process, no other user",
    "somebody": "the role: the operator, another process, the sender",
    "whoever": "the role: the caller, the reader, the signer",
    "whatever": "any, or each case by its name",
    "told": "reported, logged, announced, called with",
    "anew": "again",
    "for ever": "permanently, or the period",
    "of ours": "of the gateway, of the bank",
    "by itself": "alone, automatically, or the process that does it",
    "house": "gateway, context, package",
    "wish": "fetch request, preference",
    "crew": "worker pool",
    "speaks of": "covers, names, is about",
    "speak of": "cover, name, are about",
    "what becomes of": "result, delivery status",
    "what became of": "result, delivery status",
}
_RETIRED_TEXT = re.compile(rf"\b({'|'.join(RETIRED_IN_TEXT)})\b", re.IGNORECASE)
_NAME = re.compile(r"`[^`\n]*`")
STORED = {"told_at"}  # a column of a table


def _words(name: str) -> set[str]:
    """The words of snake_case and CamelCase names, in lower case."""
    text = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return set(text.split("_"))


SOURCES = sorted((ROOT / "gateway").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_or_class_has_a_retired_name(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    names = [path.stem, *(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    found = {name: RETIRED[word] for name in names for word in _words(name) & RETIRED.keys()}
    assert not found, "name it after the term on the right"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_name_is_a_retired_word(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(asname=str(name)):
                names.add(name)
    found = {name: RETIRED_IN_NAMES[word] for name in names - STORED for word in _words(name) & RETIRED_IN_NAMES.keys()}
    assert not found, "use one of the words on the right"


def _text(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each comment, and of each string that is a statement of its own, such as a docstring."""
    begins = True
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and begins):
                yield token.start[0], token.string
            if token.type not in {tokenize.COMMENT, tokenize.NL}:
                begins = token.type in {tokenize.ENCODING, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def _retired(path: Path) -> Iterator[str]:
    if not _RETIRED_TEXT.search(path.read_text()):  # tokenizing all files costs seconds
        return
    for line, raw in _text(path):
        text = _NAME.sub(lambda name: " " * len(name[0]), raw)
        for word in _RETIRED_TEXT.finditer(text):
            yield f"{line + text.count(chr(10), 0, word.start())}: {word[0]}"


def test_no_docstring_or_comment_has_a_retired_word() -> None:
    found = [f"{path.relative_to(ROOT)}:{place}" for path in SOURCES for place in _retired(path)]
    assert not found, "write the term that RETIRED_IN_TEXT names; say who does it"


@pytest.mark.parametrize("code, words", [
    ('"""Nobody.\n\nA `house`."""\n', ["Nobody"]),
    ("x = 'nobody'  # told\n", ["told"]),
    ('def f():\n    # of ours\n    """Is\n    anew."""\n', ["of ours", "anew"]),
])
def test_the_search_finds_docstrings_and_comments_alone(tmp_path: Path, code: str, words: list[str]) -> None:
    (tmp_path / "module.py").write_text(code)
    assert [place.split(": ")[1] for place in _retired(tmp_path / "module.py")] == words


def test_no_package_has_more_than_twenty_files() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in SOURCES}}
    assert not {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > 20}
