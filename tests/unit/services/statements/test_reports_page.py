"""docs/reports.md names what there is. Truth: the code's own tables, and the command's options."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.services.statements.report import Fate
from gateway.services.statements.tally import Channel

PAGE = (Path(__file__).parents[4] / "docs" / "reports.md").read_text("utf-8")


@pytest.mark.parametrize("word", [*Channel, *Fate])
def test_every_way_and_fate_is_explained(word: str) -> None:
    assert re.search(rf"^\| [^|]*`{word.value}`", PAGE, re.MULTILINE), word


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^    sealgate (statements \w+[^>\n]*)", PAGE, re.MULTILINE))))
def test_commands_have_the_options_with_which_they_are_shown(line: str) -> None:
    words = line.split()
    shown = CliRunner().invoke(main.application(words), [*words[:2], "--help"])
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("--")):
        assert option in re.sub(r"\x1b\[[\d;]*m", "", shown.output), option
