"""Removes an earlier run's mails from the hold store: after its recall, or after its replacement.

An item knows its hold id of the last try. The return path of held mail names its item. So mails that were held at an
earlier try, or by a process that was killed, are found, too. Withdrawing a mail twice has no further effect: a process
that is killed in the midst begins again.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.plans import PlanStore
from gateway.ports.services.statements.rows import ItemState, RunRow

log = structlog.get_logger("sealgate.statements")

HAND_S: Final = 20.0  # how long another process may have a held mail before the withdrawal pauses
LOOK_S: Final = 0.2
_HELD_AS: Final = re.compile(r"\bheld as ([0-9a-f]{12})\b")  # as pipeline.run.held says it


@dataclass(frozen=True, slots=True)
class Held:
    """`waiting`: what of a run waits in the hold store, by the item that its return path names.

    `take_back`: whether what was held as that has not left, and will not (pipeline.background.rejudge).
    """

    waiting: Callable[[str], Mapping[int, Sequence[str]]]
    take_back: Callable[[str], bool]
    ending: Callable[[], bool]
    wait: Callable[[float], None]


def withdraw(run: RunRow, store: PlanStore, held: Held, clock: Clock) -> None:
    """Withdraws held mails of the run that this one is about; of a replaced run only those that are planned again.

    Customers get no notice. Another run may send a recalled statement; a replaced one stays its run's own.
    GatewayError STORE_UNAVAILABLE (retry); JOURNAL_IN_PROGRESS (retry) if another process has one for long.
    """
    replaces, withdrawn = run.kind == "replace", 0
    waiting = held.waiting(run.about)
    for item in store.held_of(run.about, also=list(waiting), replaced_by=run.id if replaces else None):
        # Of a mail to several addresses a part may be held: its detail says so.
        known = _HELD_AS.findall(item.reply if item.state is ItemState.HELD else item.detail)
        ids = dict.fromkeys((*known, *waiting.get(item.id, ())))
        stayed = [_taken_back(held, hold_id) for hold_id in ids]
        if item.state is ItemState.HELD and len(ids) > item.resent and all(stayed):  # each try is one of them
            store.taken_back(item.id, clock.now(), detail=f"{'replaced' if replaces else 'recalled'} before it left",
                             free=not replaces)
            withdrawn += 1
    if withdrawn:
        log.info("run.held_statements_recalled", run=run.id, about=run.about, statements=withdrawn)


def _taken_back(held: Held, hold_id: str) -> bool:
    """Withdraws one mail. A concurrent release of the same mails must not end the withdrawal."""
    for _ in range(ceil(HAND_S / LOOK_S)):
        try:
            return held.take_back(hold_id)
        except GatewayError as busy:
            if busy.reason is not Reason.JOURNAL_IN_PROGRESS or held.ending():
                raise
        held.wait(LOOK_S)
    return held.take_back(hold_id)
