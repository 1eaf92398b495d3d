"""A time-stamping service over HTTP. RFC 3161 2.4 and 3.4, RFC 5816; RFC 7617 and TLS client certificates by `web`.

1. left alone: after FAILURES_MAX failures in a row no caller waits for the service for PAUSE_S; then one request tries
2. never more than `in_flight_max` requests at once: a further mail does not wait, it fails at once, so that a slow
   service can hold up only so many mails, and other mails none
3. one POST within `deadline_s`, with a nonce of 64 bits
4. granted, or the service's own word why not, for the log
5. about this digest and this request: imprint, nonce, policy; and its time is ours
6. the token is judged as any stranger's is, under the anchors for stampers: a token that no reader would believe later
   is not put into a mail now

Every failure is STAMPER_UNAVAILABLE (retry): the next service is asked, or the rule decides about the mail.
"""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

import structlog

from gateway.adapters.web.client import Web
from gateway.clock import Clock
from gateway.cms import timestamp
from gateway.cms.timestamp import TOKEN_OCTETS_MAX, Failure, TimestampResponse
from gateway.errors import GatewayError, Reason
from gateway.model.verdict import TimestampVerdict
from gateway.pki.timestamps import SKEW

log = structlog.get_logger("sealgate.stamp")

FAILURES_MAX: Final = 3
PAUSE_S: Final = 30.0
QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
_TEXT_LOGGED_MAX: Final = 200
_GRANTED: Final = (0, 1)  # RFC 3161 2.4.2: granted, granted with modifications


class Pause:
    """A circuit breaker: closed, open until a moment, then open to one."""

    def __init__(self, failures_max: int, pause_s: float, now: Callable[[], float]) -> None:
        self._failures_max, self._pause_s, self._now = failures_max, pause_s, now
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0

    def enter(self) -> bool:
        """Whether the service may be asked. After a pause the one that tries has the next pause as its time."""
        with self._lock:
            if self._failures < self._failures_max:
                return True
            if self._now() < self._until:
                return False
            self._until = self._now() + self._pause_s
            return True

    @property
    def open(self) -> bool:
        """Whether it is left alone now."""
        with self._lock:
            return self._failures >= self._failures_max and self._now() < self._until

    def worked(self) -> None:
        """It answers: everybody may ask again."""
        with self._lock:
            self._failures = 0

    def failed(self) -> bool:
        """One more failure; whether that begins a pause."""
        with self._lock:
            self._failures += 1
            self._until = self._now() + self._pause_s
            return self._failures == self._failures_max


class HttpStamper:
    """See ports.stampers.TimeStamper. `trust` is what the anchor of its last token says, until then `trust` as given.

    `judge` says whether a token is believed, and below what kind of anchor. `policy_oid`: asked for, '' = any.
    """

    def __init__(self, name: str, web: Web, url: str, judge: Callable[[bytes], TimestampVerdict], clock: Clock, *,
                 policy_oid: str = "", deadline_s: float = 5.0, in_flight_max: int = 4,
                 trust: Literal["internal", "external", "qualified"] = "external",
                 now: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.trust = trust
        self._web, self._url, self._judge, self._clock = web, url, judge, clock
        self._policy_oid, self._deadline_s = policy_oid or None, deadline_s
        self._free = threading.BoundedSemaphore(in_flight_max)
        self._pause = Pause(FAILURES_MAX, PAUSE_S, now)

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        """See ports.stampers.TimeStamper. Blocks for at most the deadline."""
        # 2. a full service, before anything counts as tried
        if not self._free.acquire(blocking=False):
            raise self._unavailable("as many requests as it may have are under way")
        try:
            # 1. left alone
            if not self._pause.enter():
                raise self._unavailable(f"it failed {FAILURES_MAX} times in a row and is not asked for {PAUSE_S:.0f} s")
            try:
                token = self._token(digest, digest_name)
            except GatewayError as error:
                if self._pause.failed():
                    log.critical("stamper.circuit_open", stamper=self.name, pause_s=PAUSE_S)
                log.warning("stamper.failed", stamper=self.name, detail=error.detail)
                raise
            self._pause.worked()
            return token
        finally:
            self._free.release()

    @property
    def resting(self) -> bool:
        """Whether it is left alone now, because it failed too often."""
        return self._pause.open

    def close(self) -> None:
        """Ends kept connections; the waiting caller finishes a request under way."""
        self._web.close()

    def _token(self, digest: bytes, digest_name: str) -> bytes:
        # 3. one POST
        nonce = secrets.randbits(64)
        request = timestamp.build_request(digest, digest_name, policy=self._policy_oid, nonce=nonce)
        try:
            octets = self._web.post(self._url, request, QUERY, deadline_s=self._deadline_s,
                                    octets_max=TOKEN_OCTETS_MAX, accept=REPLY)
            # 4. granted
            response = timestamp.parse_response(octets)
            if response.token is None or response.status not in _GRANTED:
                raise self._unavailable(_refusal(response))
            token = timestamp.parse_token(response.token)
        except GatewayError as error:
            if error.reason is Reason.STAMPER_UNAVAILABLE:
                raise
            raise self._unavailable(f"{error.reason}: {error.detail}") from None
        # 5. about this very request (RFC 3161 2.2)
        if (token.imprint, token.digest_name) != (digest, digest_name):
            raise self._unavailable("its token is about other octets")
        if token.nonce != nonce:
            raise self._unavailable("its token answers another request")
        if self._policy_oid is not None and token.policy != self._policy_oid:
            raise self._unavailable(f"its token is of policy {token.policy}, asked was {self._policy_oid}")
        if abs(token.gen_time - self._clock.now()) > SKEW:
            raise self._unavailable(f"its time {token.gen_time.isoformat()} is not ours")
        # 6. believed: that the imprint is the right one was seen above, so that nothing but this may be missing
        verdict = self._judge(response.token)
        if verdict.reason is not Reason.TIMESTAMP_SUBJECT_MISSING:
            signer = verdict.tsa or "an unknown service"
            raise self._unavailable(f"its token is not trusted: {verdict.reason}, signed by {signer}")
        self.trust = verdict.trust or self.trust
        return response.token

    def _unavailable(self, detail: str) -> GatewayError:
        return GatewayError(Reason.STAMPER_UNAVAILABLE, f"{self.name}: {detail}", retry=True)


def _refusal(response: TimestampResponse) -> str:
    """PKIStatus, PKIFailureInfo by the names of RFC 3161 2.4.2, and the service's own words, which are a stranger's."""
    names = {int(one): one.name for one in Failure}
    failures = ", ".join(names.get(bit, f"bit {bit}").lower() for bit in response.failures) or "no reason"
    words = "".join(c if c.isprintable() else " " for c in " ".join(response.text))[:_TEXT_LOGGED_MAX]
    return f"it rejected the request: status {response.status}, {failures}" + (f" ({words})" if words else "")
