"""The relay in a process of its own, ended without a word at a point, the Nth time it gets there (`POINT[:N]`).

Truth of the point: `pipeline.house.Context.reach`. The gateway is loaded already (tests/support/forks.py).
"""

import os
from multiprocessing.process import BaseProcess
from pathlib import Path

from gateway.app.processes.relay import relay
from gateway.settings import load
from tests.support.forks import context


def start(config: Path, point: str, log: Path) -> BaseProcess:
    """The running process. `log`: gets what it writes, behind what is there."""
    process = context().Process(target=_run, args=(config, point, log), daemon=True)
    process.start()
    return process


def _run(path: Path, point: str, log: Path) -> None:
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    where_to_end, _, times = point.partition(":")
    left = int(times or 1)

    def reach(where: str) -> None:
        nonlocal left
        left -= where == where_to_end
        if where == where_to_end and not left:
            os._exit(9)

    relay(load(path), path, reach=reach)
