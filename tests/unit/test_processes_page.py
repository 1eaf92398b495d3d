"""docs/processes.md says what is: its settings, its log lines, its numbers. Truth: the code itself."""

import re
from pathlib import Path

from gateway.frontends.processes.children import BACKOFF_S
from gateway.frontends.processes.process import PATIENCE_S
from gateway.settings import Limits, NextHopSettings, Processes

ROOT = Path(__file__).parents[2]
PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("processes", "process-limits"))


def test_every_log_line_it_names_is_written() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "gateway" / "frontends").rglob("*.py"))
    (paragraph,) = [one for one in PAGE.split("\n\n") if one.startswith("In the log:")]
    named = [" ".join(one.split()) for one in re.findall(r"`([^`]+)`", paragraph)]
    assert len(named) == 11
    assert [one for one in named if f'"{one}"' not in sources] == []


def test_every_setting_it_names_is_one() -> None:
    known = {f"processes.{name}" for name in Processes.model_fields} | {
        f"limits.{name}" for name in Limits.model_fields} | set(Limits.model_fields)
    known |= {f"next_hops.*.{name}" for name in NextHopSettings.model_fields}
    named = set(re.findall(r"`((?:processes|limits|next_hops)\.[a-z_.*]+|[a-z_]+_max)`", PAGE))
    assert len(named) >= 8
    assert named <= known


def test_its_numbers_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"after {', '.join(f'{seconds:.0f}' for seconds in BACKOFF_S[:-1])} s, then every minute" in text
    assert BACKOFF_S[-1] == 60
    assert (PATIENCE_S, "five seconds" in text) == (5.0, True)
