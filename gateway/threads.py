"""Threads that the system may refuse: no more tasks are allowed (TasksMax=, ulimit -u), or no memory is left.

Python then raises RuntimeError, in a place where most callers have already taken a lock, a share or a name. Here it is
GatewayError, and it means that nothing has begun and nothing will: the caller releases what it took.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gateway.errors import GatewayError, Reason

T = TypeVar("T")


def start(work: Callable[..., object], *args: object, name: str) -> threading.Thread:
    """A started daemon thread. GatewayError INTERNAL (retry) if the system starts none."""
    thread = threading.Thread(target=work, args=args, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise not_started(f"`{name}`", error) from None
    return thread


def submit(pool: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> "Future[T]":
    """As `ThreadPoolExecutor.submit`, which leaves the work in line if no thread can be started for it.

    GatewayError INTERNAL (retry): the work will not be done.
    """
    future: Future[T] = Future()

    def carry_out() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work(*args))
        except BaseException as error:  # noqa: BLE001 - raised to the caller
            future.set_exception(error)

    try:
        pool.submit(carry_out)
    except RuntimeError as error:
        if future.cancel():  # else another thread of the pool has begun it
            raise not_started("of a pool", error) from None
    return future


def is_not_started(error: RuntimeError) -> bool:
    """Whether it is Python's error for a thread that the system does not start."""
    return str(error) == "can't start new thread"


def not_started(name: str, error: RuntimeError) -> GatewayError:
    """What a RuntimeError of `Thread.start` means."""
    return GatewayError(Reason.INTERNAL, f"thread {name} cannot be started ({error}): raise TasksMax= of the service, "
                        "or the limit of processes (ulimit -u)", retry=True)
