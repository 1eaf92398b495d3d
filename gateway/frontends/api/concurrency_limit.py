"""Limits how many slow requests run at the same time, so that threads are left for quick ones."""

import threading
from types import TracebackType

from gateway.errors import GatewayError, Reason


class ConcurrencyLimit:
    """A `with` that raises CLIENT_BUSY (retry) if the limit is reached. No caller waits for a place."""

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)

    def __enter__(self) -> None:
        """Takes a place."""
        if not self._places.acquire(blocking=False):
            raise GatewayError(Reason.CLIENT_BUSY, retry=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Gives it back."""
        self._places.release()
