"""Reports the results of codes to the clients that ordered them: events are filed, and the jobs process sends them.

Calls of one client go out one after the other, those of one code in their order; a client that does not answer holds
up no other. What fails is tried again, ever more seldom, for a day; then it is given up, and the log says so.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.adapters.web.callback import CallbackHttp
from gateway.app.store import called
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.telemetry import metrics
from gateway.ports.services.callbacks import Call, Callbacks, Event
from gateway.services.codes.events import CodeEvent, EventSink
from gateway.settings import Settings
from gateway.threads import submit

log = structlog.get_logger("sealgate.callbacks")

LOOK_S: Final = 0.5
AT_ONCE_MAX: Final = 200  # calls looked at in one round
CLIENTS_AT_ONCE_MAX: Final = 8
GIVE_UP: Final = timedelta(days=1)
BACKOFF_S: Final = (2, 5, 15, 60, 300, 900, 1800)

Lines = Mapping[str, CallbackHttp | None]  # how each client is called; None: it cannot be called now


def filing(settings: Settings, book: Callbacks) -> EventSink:
    """Files events of codes for the clients that want to be called, all or none, and drops all others.

    GatewayError STORE_UNAVAILABLE (retry).
    """
    subscribers = called(settings)

    def sink(events: Sequence[CodeEvent]) -> None:
        book.file(*(_event(one) for one in events if one.client in subscribers))

    return sink


def _event(one: CodeEvent) -> Event:
    data: dict[str, str | int | bool | None] = {"customer": one.customer, "reference": one.reference}
    if one.mail:
        data["mail"] = one.mail
    if one.reason is not None:
        data["reason"] = str(one.reason)
    if one.detail:
        data["status"] = one.detail
    return Event(one.client, one.code_id, f"code.{one.kind}", one.at, f"{one.mail or ''} {one.detail}".strip(), data)


class Caller:
    """Calls out what is due. `round` is called again and again and returns at once."""

    def __init__(self, book: Callbacks, clock: Clock, lines: Lines) -> None:
        self._book = book
        self._clock = clock
        self._lines = dict(lines)
        self._pool = ThreadPoolExecutor(CLIENTS_AT_ONCE_MAX, "callbacks")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._rests: dict[str, tuple[int, datetime]] = {}  # clients that did not answer: how often, and until when

    def use(self, lines: Lines) -> None:
        """Other addresses and secrets from now on."""
        before, self._lines = self._lines, dict(lines)
        with self._lock:
            self._rests.clear()
        _close(before)

    def round(self) -> None:
        """Hands what is due to the threads. STORE_UNAVAILABLE (retry); INTERNAL (retry) if no thread can be started."""
        now = self._clock.now()
        with self._lock:
            left_alone = self._busy | {client for client, (_, until) in self._rests.items() if until > now}
        by_client: dict[str, list[Call]] = {}
        for call in self._book.due(now, AT_ONCE_MAX, left_alone):
            by_client.setdefault(call.client, []).append(call)
        for client, calls in by_client.items():
            with self._lock:
                self._busy.add(client)
            try:
                submit(self._pool, self._client, client, calls)
            except GatewayError:
                with self._lock:
                    self._busy.discard(client)
                raise

    def _client(self, client: str, calls: list[Call]) -> None:
        try:
            for call in calls:
                if not self._one(call):
                    return
        except GatewayError as trouble:  # the store: nothing is lost, for nothing is forgotten
            log.warning("callback.database_unreachable", client=client, reason=str(trouble.reason),
                        detail=trouble.detail)
        finally:
            with self._lock:
                self._busy.discard(client)

    def _one(self, call: Call) -> bool:
        """Whether the client may be called with the next one."""
        try:
            self._line(call.client).call(call)
        except GatewayError as trouble:
            metrics.called(call.client, str(trouble.reason))
            self._failed(call, trouble)
            return not trouble.retry
        metrics.called(call.client, "taken")
        self._book.taken(call)
        with self._lock:
            self._rests.pop(call.client, None)
        return True

    def _line(self, client: str) -> CallbackHttp:
        lines = self._lines
        if client not in lines:
            raise GatewayError(Reason.CLIENT_UNKNOWN, "no client with this name has a `callback_url` any more")
        line = lines[client]
        if line is None:
            raise GatewayError(Reason.KEY_UNAVAILABLE, "its callback_secret_file", retry=True)
        return line

    def _failed(self, call: Call, trouble: GatewayError) -> None:
        now = self._clock.now()
        if trouble.reason is Reason.CLIENT_UNKNOWN or now - call.at > GIVE_UP:
            log.error("callback.given_up", client=call.client, kind=call.kind, subject=call.subject,
                      callback=call.event, tries=call.tries + 1, reason=str(trouble.reason), detail=trouble.detail)
            self._book.taken(call)
            return
        log.warning("callback.failed", client=call.client, kind=call.kind, subject=call.subject,
                    callback=call.event, tries=call.tries + 1, reason=str(trouble.reason), detail=trouble.detail)
        wait = timedelta(seconds=BACKOFF_S[min(call.tries, len(BACKOFF_S) - 1)])
        self._book.later(call, now + wait)
        if trouble.retry:
            with self._lock:
                failures = self._rests.get(call.client, (0, now))[0]
                rest = timedelta(seconds=BACKOFF_S[min(failures, 3)])  # a minute at most: it may be back
                self._rests[call.client] = (failures + 1, now + rest)

    def close(self) -> None:
        """At the end; what is under way is called out again at the next start, with the same event id."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        _close(self._lines)


def _close(lines: Lines) -> None:
    for line in lines.values():
        if line is not None:
            line.close()


def lines_of(settings: Settings, clock: Clock) -> Lines:
    """How each client is called. One whose secret cannot be read is not called now; the others are."""
    lines: dict[str, CallbackHttp | None] = {}
    for client in settings.clients:
        if client.callback_url and client.callback_secret_file is not None:
            lines[client.name] = None
            try:
                lines[client.name] = CallbackHttp(client.callback_url, client.callback_secret_file, clock)
            except GatewayError as error:
                log.critical("client.callback_secret_unreadable", client=client.name, detail=error.detail)
    return lines
