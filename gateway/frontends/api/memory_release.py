"""Frees the memory of requests soon after them, so that it is overwritten (frontends.processes.memory_protection).

A request's objects refer to each other in circles, which Python finds only when it has made many new ones: on a quiet
evening that takes hours. Here the search is made a moment after the last request. It is short, because what is there
to stay is left out of it.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.frontends.processes.memory_protection import clear_stack

AFTER_S: Final = 0.25
LONG_S: Final = 0.005  # a search that takes longer looks through what stays: rules, templates, calendars of languages

P = ParamSpec("P")
R = TypeVar("R")


class MemoryRelease:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, *, after_s: float = AFTER_S) -> None:
        self._app = app
        self._after_s = after_s
        self._under_way = 0
        self._due = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
            if not self._due:
                self._due = True
                asyncio.get_running_loop().call_later(self._after_s, self._forget)

    def _forget(self) -> None:
        self._due = False
        began = time.monotonic()
        gc.collect()
        if time.monotonic() - began > LONG_S and not self._under_way:
            gc.freeze()  # nothing of a request is among it
        clear_stack()


def stay() -> None:
    """What there is now stays: a search for what can go leaves it out. After loading, before the first request."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def clearing_stack(function: Callable[P, R]) -> Callable[P, R]:
    """An endpoint that is called in a thread, and leaves nothing on its stack."""

    @wraps(function)
    def called(*given: P.args, **named: P.kwargs) -> R:
        try:
            return function(*given, **named)
        finally:
            clear_stack()

    return called
