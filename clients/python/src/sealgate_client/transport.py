"""One HTTP request: over urllib, without redirects, because a redirect would take the token to another host."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Answer:
    """Of one request. `headers`: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class ApiError(Exception):
    """The gateway refused a request. `reason`, such as certificate.absent, is for programs, `detail` for people.

    `incident` finds the line in the log of the gateway. `errors`: where a body is wrong, by JSON pointer.
    `retry_after_s`: the request may be repeated after this time.
    """

    def __init__(self, answer: Answer) -> None:
        found = answer.json()
        self.problem: dict[str, Any] = found if isinstance(found, dict) else {}
        self.status = answer.status
        self.reason = str(self.problem.get("reason", ""))
        self.detail = str(self.problem.get("detail", ""))
        self.incident = str(self.problem.get("incident", ""))
        self.errors: list[dict[str, str]] = self.problem.get("errors", [])
        given = answer.headers.get("retry-after", "")
        self.retry_after_s = float(given) if given.isdigit() else None
        super().__init__(f"{answer.status} {self.reason}: {self.detail}")


class Transport(Protocol):
    """How requests are sent."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request; any status is an answer. OSError if there is none."""
        ...


class HttpTransport:
    """Over HTTP or HTTPS; each request has a connection of its own."""

    def __init__(self, base_url: str, *, timeout_s: float = 60, tls: ssl.SSLContext | None = None) -> None:
        """`base_url`: such as https://gateway.bank.example:8027. `tls`: roots and a client certificate."""
        if not base_url.startswith(("https://", "http://")):
            message = f"{base_url!r} is not an http or https URL"
            raise ValueError(message)
        self._base = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPSHandler(context=tls or ssl.create_default_context()))

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """See Transport."""
        request = urllib.request.Request(self._base + path, body, dict(headers), method=method)  # noqa: S310 - see above
        try:
            with self._opener.open(request, timeout=self._timeout_s) as got:
                return Answer(got.status, {name.lower(): value for name, value in got.headers.items()}, got.read())
        except urllib.error.HTTPError as got:
            with got:
                return Answer(got.code, {name.lower(): value for name, value in got.headers.items()}, got.read())
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None is followed."""
