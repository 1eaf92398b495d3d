"""The runs themselves: their states, and which process leads each."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Protocol

from gateway.ports.services.statements.rows import RunRow, RunState


class RunStore(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot answer."""

    def add(self, run: RunRow) -> None:
        """Stores a new run."""
        ...

    def run(self, run: str) -> RunRow | None:
        """None: there is none with this id."""
        ...

    def runs(self, *, client: str | None = None, limit: int = 100,
             before: tuple[datetime, str] | None = None) -> Sequence[RunRow]:
        """The newest first; `before`: those after the run of this time and id in this order."""
        ...

    def unfinished(self) -> Sequence[RunRow]:
        """All that need work, the oldest first: neither paused nor ended."""
        ...

    def change(self, run: str, states: Iterable[RunState], to: RunState, *, reason: str = "",
               detail: str = "", act: str = "") -> bool:
        """Moves a run from one of `states`; False if it is in none of them, and nothing is changed.

        `act`: its name for the audit log; '' for a change that the gateway makes itself.

        A run that is CANCELLED or STOPPED has ended when `finish` says so.
        """
        ...

    def lead(self, run: str) -> bool:
        """Claims the lead: the process that plans and ends the run. False: another living process has it."""
        ...

    def led(self, run: str) -> Literal["", "here", "elsewhere"]:
        """Where another process leads the run that is not known to be dead; '' if this process could lead it.

        Elsewhere: on another machine, or in another container. The claim of a dead leader is ended here: a process that
        is started to lead has not watched it, and could not know that it died.
        """
        ...

    def leave(self, run: str) -> None:
        """Gives the lead back."""
        ...

    def source(self, run: str, sha256: str) -> None:
        """Stores the digest of the run's source, before anything is planned."""
        ...

    def begin(self, run: str, rows: int, at: datetime) -> None:
        """Everything is planned: the run is RUNNING, unless it was paused or cancelled meanwhile."""
        ...

    def finish(self, run: str, at: datetime) -> bool:
        """Ends a run; False if it has not ended.

        It is DONE if no item is open. The open items of a run that was cancelled or stopped are CANCELLED.
        """
        ...
