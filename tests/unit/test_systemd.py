"""The units as systemd itself reads them. Truth: systemd-analyze, offline; nothing is started."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peers import need

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").iterdir())
EXPOSURE_MAX = 2.5
INSTALLED = "/usr/bin/sealgate"


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    need("systemd-analyze", "systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_both_kinds_are_there() -> None:
    assert {unit.suffix for unit in UNITS} == {".service", ".socket"}


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_what_a_service_may_do_is_little(unit: Path) -> None:
    told = analyze("security", "--offline=true", "--json=short", str(unit))
    assert json.loads(told.stdout), told.stderr  # the table, which a unit that cannot be read has not
    limited = analyze("security", "--offline=true", f"--threshold={int(EXPOSURE_MAX * 10)}", str(unit))
    assert limited.returncode == 0, limited.stdout[-300:]
    open_door = analyze("security", "--offline=true", "--threshold=1", str(unit))
    assert open_door.returncode != 0  # the threshold is one


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    """All units together, as they are installed; the program where it is here."""
    for one in UNITS:
        text = one.read_text("utf-8")
        (tmp_path / one.name).write_text(text.replace(INSTALLED, sys.executable), "utf-8")
    told = analyze("verify", "--man=no", str(tmp_path / unit.name))
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_service_runs_the_installed_program() -> None:
    assert f"ExecStart={INSTALLED} run\n" in (ROOT / "systemd" / "sealgate.service").read_text("utf-8")


def test_a_broken_unit_would_be_seen(tmp_path: Path) -> None:
    text = (ROOT / "systemd" / "sealgate.service").read_text("utf-8").replace(INSTALLED, sys.executable)
    (tmp_path / "sealgate.service").write_text(text.replace("WatchdogSec=30", "WatchdogSec=soon"), "utf-8")
    assert "WatchdogSec" in analyze("verify", "--man=no", str(tmp_path / "sealgate.service")).stderr
