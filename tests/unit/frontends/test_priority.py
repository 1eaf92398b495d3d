"""Processes that stand back. Truth: what the kernel says of them."""

import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """
import os
from pathlib import Path
from gateway.frontends.processes.priority import stand_back
stand_back(7)
print(os.nice(0), os.getsid(0) == os.getpid(), Path("/proc/self/autogroup").read_text().split()[-1])
"""


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the kernel has no autogroups")
def test_the_process_and_its_own_session_weigh_less() -> None:
    """`nice` alone weighed nothing against the processes of another session."""
    mine = Path("/proc/self/autogroup").read_text()
    shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["7", "True", "7"]
    assert Path("/proc/self/autogroup").read_text() == mine
