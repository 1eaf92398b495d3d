"""Reason to HTTP: the only place that knows statuses and the form of errors. RFC 9457 (problem documents), RFC 9110 15.

`reason` says what went wrong, from the gateway's vocabulary, and `detail` in words. If a service has a page
of its problems, `type` names the reason's section there, and `title` is the reason in words. Else `type` is
about:blank, and `title` the status in words (RFC 9457 4.2.1). `incident` finds the line in the log. Nothing here names
a path, a host, a library or what was asked for: an error for one address has the length of that for any other.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.model.sentences import SENTENCES
from gateway.threads import is_not_started, not_started

log = structlog.get_logger("sealgate.http")

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 30

_R = Reason
STATUSES: Final[Mapping[Reason, int]] = MappingProxyType({
    _R.USAGE: 400, _R.INPUT_MALFORMED: 400, _R.INPUT_EMPTY: 400, _R.INPUT_TOO_LARGE: 413,
    _R.PARTNER_UNKNOWN: 401, _R.PARTNER_NOT_PERMITTED: 403,
    _R.CERTIFICATE_ABSENT: 404, _R.CERTIFICATE_UNUSABLE: 404, _R.CERTIFICATE_CONFLICT: 409,
    _R.HOLD_SETTLED: 409, _R.CLIENT_RATE_EXCEEDED: 429, _R.CLIENT_BUSY: 503,
    _R.REQUEST_UNKNOWN: 404, _R.REQUEST_KEY_MISSING: 400, _R.REQUEST_KEY_CONFLICT: 422, _R.REQUEST_IN_PROGRESS: 409,
    _R.REQUEST_PATH_GONE: 410, _R.REQUEST_OUTDATED: 412, _R.REQUEST_UNCONDITIONAL: 428, _R.REQUEST_NEEDS_APPROVAL: 403,
    _R.CUSTOMER_UNKNOWN: 404, _R.CUSTOMER_BLOCKED: 409, _R.CUSTOMER_LOCKED: 409, _R.CUSTOMER_NO_ADDRESS: 409,
    _R.CODE_UNKNOWN: 404, _R.CODE_CHANGED: 409, _R.CODE_EXPIRED: 409, _R.CODE_USED: 409, _R.CODE_CANCELLED: 409,
    _R.CODE_REPLACED: 409, _R.CODE_TRIES: 409, _R.CODE_OFTEN: 429, _R.RUN_UNKNOWN: 404, _R.RUN_CHANGED: 409,
    _R.RUN_STATE: 409,
    _R.RUN_THRESHOLD: 409, _R.STATEMENT_NOT_SENT: 404,
})
TITLES: Final[Mapping[int, str]] = MappingProxyType({
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 409: "Conflict", 410: "Gone",
    412: "Precondition Failed", 413: "Content Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Content", 428: "Precondition Required", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
})
# Reasons whose sentence is about mails.
_DETAILS: Final[Mapping[Reason, str]] = MappingProxyType({
    _R.CERTIFICATE_ABSENT: "The service publishes no certificate for this address.",
    _R.CERTIFICATE_UNUSABLE: "None of the certificates for this address can be used at present.",
    _R.CERTIFICATE_CONFLICT: "Certificates of different owners contain this address.",
})
_TEXTS: Final[Mapping[int, str]] = MappingProxyType({
    404: "The resource does not exist.", 405: "The resource does not support this method.",
    406: "The resource is not available in an accepted media type.",
    415: "The resource does not support the media type of the request.", 400: "The request is malformed."})


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as it is answered. `detail`: a sentence for the client. `more`: further members of the document."""

    status: int
    reason: Reason
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)

    def octets(self, incident: str, page: str = "") -> bytes:
        """The problem document. `page`: the path of the service's page of problems; '' = it has none."""
        is_typed = page and self.reason is not Reason.USAGE  # an error of HTTP itself
        return json.dumps({
            "type": f"{page}#{self.reason}" if is_typed else "about:blank",
            "title": SENTENCES[self.reason].what if is_typed else TITLES[self.status],
            "status": self.status, "detail": self.detail, "reason": str(self.reason), "incident": incident,
            **self.more}).encode()


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem.reason))
        self.problem = problem


def of_reason(reason: Reason, *, retry: bool = False) -> Problem:
    """The problem of a Reason: its sentence and remedy. What is in no table is 503 where it may pass, else 500."""
    status = STATUSES.get(reason, 503 if retry else 500)
    if status == 500:
        reason = Reason.INTERNAL
    sentence = SENTENCES[reason]
    headers = {"retry-after": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Problem(status, reason, _DETAILS.get(reason, f"{sentence.what} {sentence.remedy}"), headers)


def of_error(error: GatewayError) -> Problem:
    """The problem of what went wrong inside; its detail stays inside."""
    return of_reason(error.reason, retry=error.retry)


def of_runtime_error(error: Exception) -> Problem:
    """Where the system starts no thread for a request: it may come again. Any other error is raised."""
    if not isinstance(error, RuntimeError) or not is_not_started(error):
        raise error
    log.warning("worker.thread_not_started", detail=not_started("of a request", error).detail,
                threads=threading.active_count())
    return of_reason(Reason.CLIENT_BUSY, retry=True)


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem of a request that no endpoint serves: wrong method, media type, path."""
    if status not in _TEXTS:
        return of_reason(Reason.INTERNAL)
    return Problem(status, Reason.USAGE, _TEXTS[status], headers or {})
