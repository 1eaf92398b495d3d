"""The limit of open files. Truth: what a process that is started afterwards may open."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.frontends.processes.open_files import OTHERS, make_room, needed_by
from gateway.settings import Settings, load
from tests.support.process import template

PROGRAM = """
import resource, subprocess, sys
from pathlib import Path
from gateway.frontends.processes.open_files import make_room
from gateway.settings import load
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
settings = load(Path(sys.argv[1]))
limits = settings.limits.model_copy(update={"connections_max": int(sys.argv[4])})
make_room(settings.model_copy(update={"limits": limits}))
print(subprocess.check_output(["sh", "-c", "ulimit -Sn"], text=True).strip())
"""


def allowed(soft: int, hard: int, connections_max: int) -> tuple[int, bool]:
    """The limit of a child, and whether the log has a warning."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, template() / "sealgate.yaml", str(soft), str(hard), str(connections_max)],
        capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[3])
    lines = done.stdout.split()
    return int(lines[-1]), "limits.open_files" in done.stdout + done.stderr


@pytest.mark.parametrize(("limits", "connections_max", "expected"), [
    ((256, 4_096), 1_000, (2_000 + OTHERS, False)), ((4_096, 4_096), 1_000, (4_096, False)),
    ((256, 1_024), 1_000, (1_024, True))])
def test_room_for_the_connections_of_the_settings(limits, connections_max, expected) -> None:
    assert allowed(*limits, connections_max) == expected


def test_each_role_of_listener_counts() -> None:
    settings: Settings = load(template() / "sealgate.yaml")
    both = needed_by(settings)
    outbound = [one for one in settings.listeners if one.role == "outbound"]
    one = needed_by(settings.model_copy(update={"listeners": tuple(outbound)}))
    assert both - one == settings.limits.connections_max
    make_room(settings.model_copy(update={"limits": settings.limits.model_copy(update={"connections_max": 1})}))
