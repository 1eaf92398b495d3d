"""The HTTP service for tests: in this process over a service of the test's own, or `sealgate http` as a process."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from gateway.demo.bank import Bank
from gateway.frontends.http.server import HttpServer
from gateway.frontends.http.service import Current, Service
from gateway.settings import Http
from tests.support.command_server import ForkedService

ROOT = Path(__file__).parents[2]
START_S = 60.0


@dataclass(frozen=True)
class Answer:
    """Of one request. Names of header fields in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Asker:
    """A client of one service."""

    port: int
    pool: urllib3.PoolManager
    scheme: str = "http"

    def ask(self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request. `headers`: names with _ for -."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        got = self.pool.request(method, f"{self.scheme}://127.0.0.1:{self.port}{path}", body=body, headers=fields,
                                retries=False, timeout=30)
        return Answer(got.status, {name.lower(): value for name, value in got.headers.items()}, got.data)

    def stamp(self, query: bytes, **headers: str) -> Answer:
        """A time-stamp request."""
        return self.ask("/tsa", method="POST", body=query,
                        **{"content_type": "application/timestamp-query"} | headers)


@contextmanager
def asking(port: int, scheme: str = "http", **options: object) -> Iterator[Asker]:
    """A client; `options` are urllib3's."""
    with urllib3.PoolManager(**options) as pool:
        yield Asker(port, pool, scheme)


@contextmanager
def serving(service: Service, *, deadline_s: float = 15.0, **settings: object) -> Iterator[tuple[Asker, HttpServer]]:
    """The front end alone, on a free port of loopback."""
    http = Http.model_validate({"port": 0, **settings})
    server = HttpServer(http, Current(service), deadline_s=deadline_s)
    with server.running() as (_, port), asking(port) as asker:
        yield asker, server


@dataclass(frozen=True)
class Process:
    """`sealgate http`, running."""

    bank: Bank
    process: "subprocess.Popen[bytes] | ForkedService"
    log: Path
    port: int

    @property
    def told(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text("utf-8", "replace")

    def reload(self) -> None:
        """SIGHUP, and waits until it says that it has reloaded, or not."""
        before = self.told.count('"event": "reload.')
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + START_S
        while self.told.count('"event": "reload.') == before:
            assert time.monotonic() < end, self.told[-2000:]
            time.sleep(0.02)


def add_http(bank: Bank, text: str) -> None:
    """The bank's section `http`, in place of the one that it has: what stands in it, indented as YAML wants it.

    It serves no numbers beside: `metrics` has tests of its own.
    """
    before = re.sub(r"(?m)^(?:http|metrics):.*\n(?:[ \t]+.*\n)*", "", bank.config.read_text("utf-8"))
    bank.config.write_text(f"{before}\nhttp:\n{text}\n", "utf-8")


@contextmanager
def process(bank: Bank, program: tuple[str, ...] = ()) -> Iterator[Process]:
    """Started on the port that the settings say (0: any free one); ended by SIGTERM, which must end it well.

    `program`: what Python runs in place of a forked command.
    """
    log = bank.home / "http.log"
    arguments = ("--config", str(bank.config), "http")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    started: subprocess.Popen[bytes] | ForkedService
    with log.open("wb") as file:
        if program:
            started = subprocess.Popen([sys.executable, *program, *arguments], cwd=ROOT, stdout=file, stderr=file,
                                       env=environment)
        else:
            started = ForkedService(arguments, output=file.fileno(), environment=environment)
    try:
        yield Process(bank, started, log, _port(started, log))
        started.terminate()
        assert started.wait(60) == 0, log.read_text("utf-8")[-2000:]
    finally:
        started.kill()
        started.wait()


def _port(started: "subprocess.Popen[bytes] | ForkedService", log: Path) -> int:
    end = time.monotonic() + START_S
    while True:
        told = log.read_text("utf-8", "replace")
        found = re.search(r'"port": (\d+)', told)
        if found:
            return int(found[1])
        assert started.poll() is None, told
        assert time.monotonic() < end, told
        time.sleep(0.02)
