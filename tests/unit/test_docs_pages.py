"""Each page of the documentation begins with what its reader can do after it, and is short enough to be read at once.

Truth: the project's rules for documentation (CONTRIBUTING.md).
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WORDS_MAX = 1_500
LONGER = {
    "glossary.md": "a table to look words up in, not to be read",
    "log-events.md": "a reference table with one row for each event; a test compares it with the program",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_not_too_long(page: Path) -> None:
    assert len(page.read_text("utf-8").split()) <= WORDS_MAX or page.name in LONGER, "split it by task and reference"


@pytest.mark.parametrize("name", sorted(LONGER))
def test_an_exception_is_still_needed(name: str) -> None:
    assert len((ROOT / "docs" / name).read_text("utf-8").split()) > WORDS_MAX, "remove it from LONGER"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_begins_with_what_its_reader_can_do(page: Path) -> None:
    title, _, rest = page.read_text("utf-8").partition("\n\n")
    assert re.fullmatch(r"# [^\n]+", title)
    first = rest.partition("\n\n")[0]
    begins = r"(After (reading )?this page you|With this page you|From here you) (can|know|find)\b"
    assert re.match(begins, first), first
