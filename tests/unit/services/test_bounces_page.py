"""docs/bounces.md: what it tells to write works as it stands."""

import re
import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.cli.check.returns import returns
from gateway.services.verp import Verp
from gateway.settings import load
from tests.support.process import template

PAGE = (Path(__file__).parents[3] / "docs" / "bounces.md").read_text("utf-8")
SECTIONS, POLICIES = (dedent(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_its_settings_and_rules_are_what_check_calls_well(tmp_path: Path) -> None:
    home = Path(shutil.copytree(template(), tmp_path / "home"))
    config = home / "sealgate.yaml"
    text = re.sub(r"(?m)^(codes|statements|policies): .*\n(?:  .*\n)*", "", config.read_text("utf-8"))
    config.write_text(text + SECTIONS + POLICIES, "utf-8")
    assert [(one.level, one.about) for one in returns(load(config))] == [
        ("ok", "codes.bounces"), ("ok", "statements.bounces"), ("ok", "codes.alarm_to")]


@pytest.mark.parametrize("shown", re.findall(r"codes\+(\S+?)@bank\.example", PAGE))
def test_its_return_paths_look_like_those_that_are_made(shown: str) -> None:
    made = Verp("codes", "codes@bank.example", b"s" * 32).address("5f0c2b7a90de4f1c2b7a90de-1")
    assert len(f"codes+{shown}@bank.example") == len(made)
    assert shown.partition(".")[0] == "5f0c2b7a90de4f1c2b7a90de-1"
