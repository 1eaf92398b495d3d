"""`python -m tests.chaos.killed CONFIG POINT[:N]`: the relay, ended without a word at POINT, the Nth time."""

import gc
import os
import sys
from pathlib import Path

gc.disable()  # until all is loaded, as in gateway.cli.main

from gateway.serve import relay  # noqa: E402
from gateway.settings import load  # noqa: E402


def main() -> None:
    gc.freeze()
    gc.enable()
    path, (point, _, times) = Path(sys.argv[1]), sys.argv[2].partition(":")
    left = int(times or 1)

    def reach(where: str) -> None:
        nonlocal left
        left -= where == point
        if where == point and not left:
            os._exit(9)

    relay(load(path), path, reach=reach)


main()
