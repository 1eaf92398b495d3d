"""A method for each operation of the API."""

import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

from sealgate_client.shapes import (
    AuditRecord,
    Block,
    BlockChange,
    Code,
    CodeIssued,
    HeldMail,
    Mail,
    Page,
    Released,
    Run,
    RunProgress,
    Status,
    Verdict,
)
from sealgate_client.transport import Answer, ApiError, HttpTransport, Transport

T = TypeVar("T")
Json = Mapping[str, Any]

ATTEMPTS = 3
WAIT_MAX_S = 30.0
_AGAIN = frozenset({429, 503})
_IN_PROGRESS = "request.in_progress"  # the first attempt, whose answer was lost, is still in work


class Sealgate:
    """The API of one gateway, for one client of its settings. Threads may share it.

    A request that changes nothing, or has an idempotency key, is repeated after 429, 503 and lost connections: at most
    `attempts` in all. Every other answer with status 400 or higher is an ApiError; without an answer it is an OSError.
    """

    def __init__(self, base_url: str = "", token: str = "", *, timeout_s: float = 60, tls: ssl.SSLContext | None = None,
                 attempts: int = ATTEMPTS, transport: Transport | None = None,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        """`token`: '' if `tls` has a client certificate. `transport`: instead of HTTP to `base_url`."""
        self._send = transport or HttpTransport(base_url, timeout_s=timeout_s, tls=tls)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._attempts = attempts
        self._sleep = sleep

    # Codes

    def issue_code(self, customer: str, purpose: str, *, transaction: Json | None = None, digits: int | None = None,
                   life_s: int | None = None, language: str | None = None, reference: str = "",
                   key: str | None = None) -> CodeIssued:
        """Sends a new code to a customer. `key`: of an order that is repeated; None makes a new one."""
        order = {"customer": customer, "purpose": purpose, "transaction": transaction, "digits": digits,
                 "life_s": life_s, "language": language, "reference": reference or None}
        return self._post(CodeIssued, "/codes", _given(order), key=key or _new_key())

    def code(self, code_id: str) -> Code:
        """Shows a code."""
        return self._get(Code, f"/codes/{_part(code_id)}")

    def verify_code(self, code_id: str, code: str, *, transaction: Json | None = None,
                    key: str | None = None) -> Verdict:
        """Tries what the customer entered, once: look at `valid`. `key`: of a try that is repeated."""
        body = _given({"code": code, "transaction": transaction})
        return self._post(Verdict, f"/codes/{_part(code_id)}/verify", body, key=key or _new_key())

    def resend_code(self, code_id: str, *, transaction: Json | None = None, key: str | None = None) -> CodeIssued:
        """Sends the same code again."""
        body = _given({"transaction": transaction})
        return self._post(CodeIssued, f"/codes/{_part(code_id)}/resend", body, key=key or _new_key())

    def cancel_code(self, code_id: str) -> Code:
        """Ends a code."""
        return self._post(Code, f"/codes/{_part(code_id)}/cancel")

    # Customers

    def block_customer(self, number: str) -> BlockChange:
        """No codes for this customer."""
        return cast(BlockChange, self._ask("PUT", f"/customers/{_part(number)}/block", again=True).json())

    def customer_block(self, number: str) -> tuple[Block, str] | None:
        """The customer's block with its ETag; None if there is none."""
        try:
            answer = self._ask("GET", f"/customers/{_part(number)}/block", again=True)
        except ApiError as error:
            if error.reason == "request.unknown":
                return None
            raise
        return cast(Block, answer.json()), answer.headers["etag"]

    def unblock_customer(self, number: str, etag: str) -> BlockChange:
        """Codes for this customer again. `etag`: of the block as it was read."""
        answer = self._ask("DELETE", f"/customers/{_part(number)}/block", headers={"If-Match": etag})
        return cast(BlockChange, answer.json())

    # Statement runs

    def begin_run(self, run: Json, *, key: str) -> Run:
        """Records a run; it begins automatically. `run`: {"file": name}, or what is in such a file.

        `key`: the caller's own name of this run, such as statements-2026-11: no second run begins with it.
        """
        return self._post(Run, "/statement-runs", run, key=key)

    def runs(self) -> Iterator[Run]:
        """The runs of this client, the newest first."""
        return self._pages("/statement-runs", {})

    def run(self, run_id: str) -> tuple[RunProgress, str]:
        """A run and how far it is, and its ETag."""
        answer = self._ask("GET", f"/statement-runs/{_part(run_id)}", again=True)
        return cast(RunProgress, answer.json()), answer.headers["etag"]

    def run_report(self, run_id: str) -> dict[str, Any]:
        """The report of a run."""
        return self._get(dict[str, Any], f"/statement-runs/{_part(run_id)}/report")

    def pause_run(self, run_id: str, etag: str) -> Run:
        """Mails in work are finished."""
        return self._post(Run, f"/statement-runs/{_part(run_id)}/pause", etag=etag)

    def resume_run(self, run_id: str, etag: str) -> Run:
        """A paused run continues."""
        return self._post(Run, f"/statement-runs/{_part(run_id)}/resume", etag=etag)

    def cancel_run(self, run_id: str, etag: str) -> Run:
        """Mails that have not left do not leave."""
        return self._post(Run, f"/statement-runs/{_part(run_id)}/cancel", etag=etag)

    # Operation

    def status(self) -> Status:
        """The state of the gateway: look at `good`."""
        return self._get(Status, "/status")

    def mails(self, **conditions: str) -> Iterator[Mail]:
        """What happened to mails, the latest first. Conditions: address, client, direction, outcome, reason, rule,

        since, until.
        """
        return self._pages("/mails", conditions)

    def held_mails(self, **conditions: str) -> Iterator[HeldMail]:
        """Held mail, the oldest first. Conditions: state, kind, address, direction, reason, rule, since, until."""
        return self._pages("/held-mails", conditions)

    def held_mail(self, hold_id: str) -> tuple[HeldMail, str]:
        """A held mail, and its ETag."""
        answer = self._ask("GET", f"/held-mails/{_part(hold_id)}", again=True)
        return cast(HeldMail, answer.json()), answer.headers["etag"]

    def release_held_mail(self, hold_id: str, etag: str) -> Released:
        """Processes a held mail again and sends it. `etag`: of the mail as it was read."""
        return self._post(Released, f"/held-mails/{_part(hold_id)}/release", etag=etag)

    def reject_held_mail(self, hold_id: str, etag: str) -> HeldMail:
        """Deletes the body of a held mail."""
        return self._post(HeldMail, f"/held-mails/{_part(hold_id)}/reject", etag=etag)

    def audit(self, **conditions: str) -> Iterator[AuditRecord]:
        """Records of the audit log, the latest first. Conditions: actor, act, object, client, result, since, until."""
        return self._pages("/audit", conditions)

    def audit_after(self, number: int) -> Iterator[AuditRecord]:
        """All records after this one, the oldest first."""
        return self._pages("/audit/export", {"after": str(number)})

    # Requests

    def _get(self, form: type[T], path: str) -> T:
        del form  # the type of the answer
        return cast(T, self._ask("GET", path, again=True).json())

    def _post(self, form: type[T], path: str, body: Json | None = None, *, key: str = "", etag: str = "") -> T:
        del form  # the type of the answer
        headers = {**({"Idempotency-Key": key} if key else {}), **({"If-Match": etag} if etag else {})}
        return cast(T, self._ask("POST", path, body, headers, again=bool(key)).json())

    def _pages(self, path: str, conditions: Mapping[str, str]) -> Iterator[Any]:
        query = dict(conditions)
        while True:
            page = self._get(Page[Any], f"{path}?{urlencode(query)}" if query else path)
            yield from page["items"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def _ask(self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None, *,
             again: bool = False) -> Answer:
        fields = {"Accept": "application/json", **self._headers, **(headers or {})}
        octets = None
        if body is not None:
            octets = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        elif method == "POST":
            octets = b""
        for attempt in range(1, self._attempts + 1):
            last = not again or attempt == self._attempts
            try:
                answer = self._send(method, f"/v1{path}", fields, octets)
            except OSError:
                if last:
                    raise
                self._sleep(min(2.0 ** attempt, WAIT_MAX_S))
                continue
            if answer.status < 300:
                return answer
            error = ApiError(answer)
            if last or not (answer.status in _AGAIN or error.reason == _IN_PROGRESS):
                raise error
            self._sleep(min(error.retry_after_s or 2.0 ** attempt, WAIT_MAX_S))
        raise AssertionError  # the last attempt returns or raises


def _given(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}


def _part(text: str) -> str:
    return quote(text, safe="")


def _new_key() -> str:
    return str(uuid.uuid4())
