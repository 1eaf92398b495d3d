"""docs/threat-model.md names tests for all it says: each of them exists, and no attack of tests/attacks is missing."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "\n".join(page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("threat*.md")))
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@cache
def names_of(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text("utf-8")))
                     if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_exists(named: str) -> None:
    file, _, test = named.partition("::")
    assert (ROOT / file).is_file()
    assert names_of(ROOT / file)
    assert not test or test in names_of(ROOT / file)


def test_every_attack_is_somebodys() -> None:
    attacks = {f"tests/attacks/{path.name}" for path in (ROOT / "tests" / "attacks").glob("test_*.py")}
    assert attacks - {named.partition("::")[0] for named in NAMED} == set()


def test_every_line_of_a_table_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("|---")]
    heads = [line for line in rows if line.endswith("| test |")]
    assert len(heads) >= 9
    assert [line for line in rows if line not in heads and "`tests/" not in line] == []
