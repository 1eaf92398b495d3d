"""Requests that must not be done twice: each has a key by which its repetition is known."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

KEPT: Final = timedelta(days=3)  # who repeats a request does so within minutes


@dataclass(frozen=True, slots=True)
class Answered:
    """How a request was answered: the HTTP status, and the body, JSON."""

    status: int
    body: str


class Requests(Protocol):
    """`key` and `digest` are MACs: their input cannot be derived from them.

    GatewayError(STORE_UNAVAILABLE, retry=True) if the database does not answer.
    """

    def begin(self, key: str, digest: str, kept: timedelta = KEPT) -> Answered | str:
        """A claim on the request, to be given to `answer` or `withdraw`; or how the same request was answered before.

        All three are called by the thread that does the work. The claim counts from the act on that the request stands
        for; until then the same request may begin a second time, and is refused when it acts.

        `kept`: how long an answer counts; an older one is as none.
        REQUEST_KEY_CONFLICT: the key was another request's. REQUEST_IN_PROGRESS (retry): it is in work.
        The claim of a process that has died delays no request.
        """
        ...

    def answer(self, claim: str, answered: Answered) -> None:
        """Every repetition gets this from now on. REQUEST_IN_PROGRESS (retry) if the claim was lost meanwhile."""
        ...

    def withdraw(self, claim: str) -> None:
        """Nothing came of it, so a repetition is a first time."""
        ...
