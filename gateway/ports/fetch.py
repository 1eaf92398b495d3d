"""What is to be fetched from outside in the background: revocation lists, OCSP answers, missing issuers.

A mail's worker files a task; the jobs process carries it out. This port verifies nothing: the caller that stores a
fetched object has checked its signature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from gateway.errors import Reason

FetchKind = Literal["crl", "ocsp", "issuer"]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Something to fetch. `key` names it: what is wanted twice is one task. `url` is a stranger's word.

    `certificate`: DER of the one in question; `issuer`: DER of its issuer, b'' where that is what is missing.
    """

    key: str
    kind: FetchKind
    url: str
    certificate: bytes = field(repr=False)
    issuer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class FetchTask:
    """The state of one task. `done_at`: when it last succeeded; `failures`: in a row since then, with the last's

    `reason` and `detail`. `due_at`: when it is carried out next.
    """

    request: FetchRequest
    asked_at: datetime
    due_at: datetime
    done_at: datetime | None = None
    failures: int = 0
    reason: Reason | None = None
    detail: str = ""

    @property
    def tried(self) -> bool:
        """Whether it was ever carried out."""
        return self.done_at is not None or self.failures > 0


class FetchTasks(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot.

    Bounded in total and, for tasks that never succeeded, by host: where there is no room, those that were asked for
    longest ago go first, and those that ever succeeded go last.
    """

    def want(self, requests: Sequence[FetchRequest], at: datetime, *, again_s: float) -> tuple[FetchTask, ...]:
        """Files them, due at once. Known ones stay as they are, but two kinds of them become due again: those that

        succeeded more than `again_s` seconds ago (what they brought did not help), and those that were given up.
        Returns their states; tasks beyond the limit are missing.
        """
        ...

    def get(self, keys: Sequence[str]) -> tuple[FetchTask, ...]:
        """The states of these."""
        ...

    def due(self, at: datetime, limit: int) -> tuple[FetchTask, ...]:
        """Those that are due, at most `limit` of each kind: lists, answers, issuers; of a kind the longest due first.

        Cheap where nothing is due: asked ten times a second.
        """
        ...

    def done(self, key: str, at: datetime, due_at: datetime | None) -> None:
        """It succeeded. `due_at` None: not before it is wanted again."""
        ...

    def failed(self, key: str, due_at: datetime | None, reason: Reason, detail: str) -> None:
        """It did not, and is tried again at `due_at`; None: when it is wanted again."""
        ...

    def attend(self, at: datetime) -> None:
        """Records that the jobs process works at `at`, or is about to; called again every few seconds."""
        ...

    def attended(self, at: datetime) -> bool:
        """Whether it was recorded a moment ago; without a jobs process it is no use to wait."""
        ...

    def list(self) -> Iterator[FetchTask]:
        """All of them, by kind and URL."""
        ...

    def forget(self, asked_before: datetime, *, unproven_before: datetime) -> int:
        """Drops tasks that were not requested since, sooner if they never succeeded; returns how many."""
        ...


class Web(Protocol):
    """The HTTP client. Errors as in adapters.web.client: FETCH_UNAVAILABLE (retry), FETCH_REFUSED, FETCH_TOO_LARGE."""

    def get(self, url: str, *, deadline_s: float, octets_max: int, accept: str = "*/*") -> bytes:
        """The body."""
        ...

    def post(self, url: str, body: bytes, content_type: str, *, deadline_s: float, octets_max: int,
             accept: str = "*/*") -> bytes:
        """The answer's body."""
        ...
