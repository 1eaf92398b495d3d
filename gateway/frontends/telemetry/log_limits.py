"""Limits log lines that strangers cause without effort: so many in a period, then only their number.

A host that opens and closes connections, or guesses recipients, would otherwise fill the disk with rejections, and
other lines would be hard to find. Omitted lines are still counted (`sealgate_refusals_total`), and the next line that
is written has their number (`unlogged`). A mail's own line and errors are never omitted.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

EVENTS: Final = frozenset({"session.rejected", "session.timeout"})
LINES_MAX: Final = 200  # of one kind
WITHIN_S: Final = 10.0
KINDS_MAX: Final = 500  # event, reason and listener: a settings file has some dozens of them

_Kind = tuple[str, str, str]


class Floods:
    """A processor for structlog. Safe on many threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._lock = threading.Lock()
        self._windows: OrderedDict[_Kind, tuple[float, int]] = OrderedDict()  # when it began, lines in it

    def __call__(self, _logger: object, _level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """The line, or structlog.DropEvent."""
        if line["event"] not in EVENTS:
            return line
        kind = (line["event"], str(line.get("reason")), str(line.get("listener")))
        with self._lock:
            unlogged = self._count(kind)
        if unlogged is None:
            raise structlog.DropEvent
        if unlogged:
            line["unlogged"] = unlogged
        return line

    def _count(self, kind: _Kind) -> int | None:
        """None: too many. Else how many of this kind were left out in the while before."""
        now = self._now()
        began, lines = self._windows.get(kind, (now, 0))
        unlogged = 0
        if now - began >= WITHIN_S:
            unlogged, began, lines = max(lines - LINES_MAX, 0), now, 0
        self._windows[kind] = (began, lines + 1)
        if len(self._windows) > KINDS_MAX:
            self._windows.popitem(last=False)
        return None if lines >= LINES_MAX else unlogged
