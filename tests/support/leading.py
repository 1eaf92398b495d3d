"""Leaders of a run that do one thing. Each is a process of its own, which loads this module and not the gateway."""

import os
import signal
from typing import Any, Final

YIELD: Final = signal.SIGUSR1  # as app.statements.leaders has it, and its HELD_UP: test_run_leaders.py compares them
HELD_UP: Final = 75


def hangs(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def dies(*_: object) -> None:
    os._exit(9)


def is_killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at_the_start(*_: object) -> None:
    os._exit(9)


def dies_at_work(*given: Any) -> None:
    given[-1].value = 1
    os.kill(os.getpid(), signal.SIGKILL)


def dies_after_a_mail(*given: Any) -> None:
    given[-1].value = 2
    os.kill(os.getpid(), signal.SIGKILL)


def cannot_go_on(*_: object) -> None:
    os._exit(HELD_UP)


def yields(*_: object) -> None:
    signal.sigwait([YIELD])
    os._exit(0)


def yields_late(*_: object) -> None:
    signal.sigwait([YIELD])
    signal.sigtimedwait([], 0.3)
    os._exit(0)


def is_not_interrupted(*_: object) -> None:
    os._exit(9 if signal.sigtimedwait([YIELD], 0.3) else 0)
