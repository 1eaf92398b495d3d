"""Fetch requests for a mail's missing data: lists, answers and issuers that the jobs process fetches in the background.

For something that was never tried before, the worker waits a moment, so that a correspondent's first mail is
already judged. It does not wait again after a failure or a slow answer, nor while no jobs process works. At most
a few workers wait at once: a flood of mails with made-up certificates slows down no other mail.

Lists come first, and answers (OCSP) only where no list helps: there is none, it is unavailable, or it takes too long.
One list serves all certificates of its issuer, also through an outage of the responder. It does not disclose with whom
the bank corresponds, as each question to a responder does. A responder is faster where a list is large: it is asked
when half of the wait is over.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from gateway.clock import Clock
from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.fetch_list import crl_requests, issuer_requests, ocsp_requests
from gateway.ports.certificates import IntermediateSource
from gateway.ports.fetch import FetchRequest, FetchTask, FetchTasks
from gateway.settings import Fetch

WAITING_MAX: Final = 8  # workers that wait at once for lists and answers
WAITING_FOR_ISSUERS_MAX: Final = 4  # any mail of a stranger may request these
LOOK_S: Final = 0.03
AWAITED_FAILURES: Final = 6  # with fetch.retry_s of five minutes: half an hour in which mail is deferred, not refused
_IN_VAIN: Final = frozenset({Reason.FETCH_REFUSED, Reason.FETCH_TOO_LARGE})


class FetchRequests:
    """See pki.revocation.table.Want and ports.certificates.IntermediateSource, for `known` issuers. Thread-safe."""

    def __init__(self, tasks: FetchTasks, known: IntermediateSource, clock: Clock, settings: Fetch, *,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._known = known
        self._clock = clock
        self._settings = settings
        self._monotonic = monotonic
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)
        self._waiting_for_issuers = threading.BoundedSemaphore(WAITING_FOR_ISSUERS_MAX)

    def __call__(self, certificate: Certificate, issuer: Certificate) -> None:
        """Nothing fresh is known of this certificate. Returns when it is worth while to look again, or not to wait."""
        schemes, end = self._settings.schemes, self._monotonic() + self._settings.wait_s
        try:
            lists = self._want(crl_requests(certificate, issuer, schemes))
            new = any(task.request.kind == "crl" and not task.tried for task in lists)
            if new and not self._tasks.attended(self._clock.now()):
                return  # the list will be there at the next fetch; no responder need be asked
            brought = new and self._wait(lists, end - self._settings.wait_s / 2, self._waiting)
            if not brought:
                self._wait(self._want(ocsp_requests(certificate, issuer, schemes)), end, self._waiting, or_else=lists)
        except GatewayError:
            return  # the store does not answer: the look-up reports that nothing is known

    def by_subject(self, subject: bytes) -> tuple[bytes, ...]:
        """See IntermediateSource."""
        return self._known.by_subject(subject)

    def missing(self, certificate: Certificate) -> bool:
        """See IntermediateSource. True if its issuer was fetched just now."""
        requests = issuer_requests(certificate, self._settings.schemes)
        if not requests:
            return False
        end = self._monotonic() + self._settings.wait_s
        try:
            return self._wait(self._want(requests), end, self._waiting_for_issuers)
        except GatewayError:
            return False

    def awaits_issuer(self, certificate: Certificate) -> bool:
        """See IntermediateSource. After a few failures in a row no caller waits for it any more."""
        keys = [one.key for one in issuer_requests(certificate, self._settings.schemes)]
        try:
            return any(task.done_at is None and task.failures < AWAITED_FAILURES and task.reason not in _IN_VAIN
                       for task in self._tasks.get(keys))
        except GatewayError:
            return True

    def _want(self, requests: Sequence[FetchRequest]) -> tuple[FetchTask, ...]:
        return self._tasks.want(requests, self._clock.now(), again_s=self._settings.retry_s) if requests else ()

    def _wait(self, tasks: Sequence[FetchTask], end: float, bound: threading.BoundedSemaphore,
              or_else: Sequence[FetchTask] = ()) -> bool:
        """Until one of those that were never tried has succeeded (True), or all have failed, or until `end`.

        `or_else`: were waited for already; if one of them succeeds that ends the wait too.
        """
        untried = [task.request.key for task in tasks if not task.tried]
        late = [task.request.key for task in or_else if not task.tried]
        if (not untried and not late) or not self._tasks.attended(self._clock.now()):
            return False
        with _place(bound) as free:
            while free and self._monotonic() < end:
                now = self._tasks.get((*untried, *late))
                if any(task.done_at is not None for task in now):
                    return True
                if all(task.tried for task in now):
                    return False
                time.sleep(LOOK_S)
        return False


@contextmanager
def _place(bound: threading.BoundedSemaphore) -> Iterator[bool]:
    """Whether there was room to wait."""
    free = bound.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            bound.release()
