"""Retired words stay out of names: a search for the standard term must find the thing (docs/glossary.md)."""

import ast
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


def test_no_package_has_more_than_twenty_files() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in SOURCES}}
    assert not {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > 20}
