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
}


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


def test_no_package_has_more_than_twenty_files() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in SOURCES}}
    assert not {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > 20}
