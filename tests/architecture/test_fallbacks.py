"""A fallback is one entry of `model.fallbacks`: no other code lists them, and everything that an entry names is there.

Truth: docs/architecture.md, "How to add a fallback".
"""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from gateway.actions.encrypt import EncryptParams
from gateway.model.fallbacks import CERTAIN, FALLBACKS, Fallback, FallbackName
from gateway.services.statements.tally import Channel
from gateway.settings import Fallbacks

ROOT = Path(__file__).parents[2]
LETTERS = ROOT / "gateway" / "letters" / "templates"
# What is about one fallback alone: its own files, its settings, its composition, its probe, its tables, its channel.
OWN = ("model/fallbacks.py", "pipeline/fallbacks/", "settings/sections/fallbacks.py", "app/fallbacks.py",
       "cli/check/fallbacks.py", "adapters/db/fallbacks.py", "services/statements/tally.py")


def test_every_name_has_an_entry_and_is_a_value_of_without_certificate() -> None:
    assert tuple(FALLBACKS) == get_args(FallbackName)
    assert get_args(EncryptParams.model_fields["without_certificate"].annotation) == ("reject", *FALLBACKS)


def test_no_other_code_names_one() -> None:
    """`hold` is also an end of a rule, so it cannot be searched for."""
    names = FALLBACKS.keys() - {"hold"}
    found = [f"{file}:{node.lineno}: {node.value}"
             for path in sorted((ROOT / "gateway").rglob("*.py"))
             if not (file := path.relative_to(ROOT / "gateway").as_posix()).startswith(OWN)
             for node in ast.walk(ast.parse(path.read_bytes()))
             if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names]
    assert not found, "read the table instead"


@pytest.mark.parametrize("one", FALLBACKS.values(), ids=lambda one: one.name)
def test_what_an_entry_names_is_there(one: Fallback) -> None:
    assert 0 < one.strength <= CERTAIN
    assert one.channel in set(Channel)
    assert one.held is (one.reason is not None), "a held mail's outcome has a reason, a sent one's has none"
    assert not (one.held and one.encrypts)
    assert one.has_settings is (one.name in Fallbacks.model_fields)
    assert all((LETTERS / language / f"{kind}.txt").is_file() for kind in one.letters for language in ("de", "en"))


def test_the_page_has_a_row_for_each() -> None:
    page = (ROOT / "docs" / "fallbacks.md").read_text("utf-8")
    table = page.partition("| fallback | what happens |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == ["reject", *FALLBACKS]
