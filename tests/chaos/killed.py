"""`python -m tests.chaos.killed CONFIG POINT`: the relay, ended without a word when a mail reaches POINT."""

import os
import sys
from pathlib import Path

from gateway.serve import relay
from gateway.settings import load


def main() -> None:
    path, point = Path(sys.argv[1]), sys.argv[2]

    def reach(where: str) -> None:
        if where == point:
            os._exit(9)

    relay(load(path), path, reach=reach)


main()
