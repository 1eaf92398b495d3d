"""Answers 503 to every request while an HTTP process cannot use its database.

A caller then knows that it may try again, and a load balancer asks another node. A refused connection, or a process
that ends again and again, would show neither.
"""

import signal
import sys
import time
from collections.abc import Callable
from itertools import chain, repeat
from types import FrameType
from typing import TypeVar

import structlog
from starlette.types import Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.frontends.http.guard import Guard
from gateway.frontends.http.observed import REQUESTS_PER_MINUTE_MAX
from gateway.frontends.http.problems import MEDIA_TYPE, of_error
from gateway.frontends.http.server import HttpServer
from gateway.frontends.http.service import Current, Service
from gateway.frontends.processes.children import BACKOFF_S
from gateway.settings import Http

T = TypeVar("T")

log = structlog.get_logger("sealgate.http")


def when_usable(build: Callable[[], T], http: Http, name: str) -> T:
    """What `build` gives, as soon as it gives something; until then requests to `http` are answered 503.

    Waits only for the database (reasons `store.…`), with growing pauses; SIGTERM ends the process. Any other
    GatewayError of `build` is raised. `name`: the section of the settings.
    """
    try:
        return build()
    except GatewayError as error:
        trouble = _require_store(error)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with HttpServer(http, _application(lambda: trouble), name=name).running():
            for pause in chain(BACKOFF_S, repeat(BACKOFF_S[-1])):
                log.critical("database.unusable", reason=str(trouble.reason), detail=trouble.detail)
                time.sleep(pause)
                try:
                    return build()
                except GatewayError as error:
                    trouble = _require_store(error)
    finally:
        signal.signal(signal.SIGTERM, before)
    raise AssertionError  # the pauses never end


def _require_store(trouble: GatewayError) -> GatewayError:
    if trouble.reason.family != "store" or not trouble.retry:
        raise trouble
    return trouble


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _application(trouble: Callable[[], GatewayError]) -> Guard:
    async def refuse(scope: Scope, _receive: Receive, send: Send) -> None:
        problem = of_error(trouble())
        body = problem.octets(scope["state"]["incident"])
        headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
        await send({"type": "http.response.start", "status": problem.status, "headers": [
            (b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body)), *headers]})
        await send({"type": "http.response.body", "body": body})

    return Guard(refuse, Current(Service(requests_per_minute_max=REQUESTS_PER_MINUTE_MAX)))
