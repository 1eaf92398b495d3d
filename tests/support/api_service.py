"""`sealgate api` as a process, a bank's system that asks it, and a customer who reads the mail with openssl."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from gateway.demo import openssl
from gateway.demo.bank import Bank
from gateway.frontends.processes.memory_protection import ENVIRONMENT
from tests.support.command_server import ForkedService
from tests.support.process import new_bank
from tests.support.smtp import Hop

ROOT = Path(__file__).parents[2]
START_S = 60.0
PAYMENT = {"amount": "1234.50", "currency": "EUR", "payee": "Stadtwerke Musterstadt",
           "account": "DE89 3704 0044 0532 0130 00"}


@dataclass(frozen=True)
class Answer:
    """Of one request. Names of header fields in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class System:
    """A system of the bank. `token`: '' = it shows none."""

    base: str
    token: str
    pool: urllib3.PoolManager

    def ask(self, method: str, path: str, body: object = None, key: str = "", **headers: str) -> Answer:
        """One request. `body`: JSON, or octets as they are; `headers`: names with _ for -, values over all else."""
        octets = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        fields = {"authorization": f"Bearer {self.token}"} if self.token else {}
        fields |= {"content-type": "application/json"} if octets is not None else {}
        fields |= {"idempotency-key": key} if key else {}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        got = self.pool.request(method, self.base + path, body=octets, headers=fields, retries=False, timeout=60)
        return Answer(got.status, {name.lower(): value for name, value in got.headers.items()}, got.data)

    def post(self, path: str, body: object = None, key: str = "", **headers: str) -> Answer:
        """POST."""
        return self.ask("POST", path, body, key, **headers)

    def order(self, key: str, **changes: object) -> Answer:
        """A code for Anna's payment; `changes` of the order, None: without it."""
        whole = {"customer": "10001", "purpose": "payment", "transaction": PAYMENT} | changes
        return self.post("/v1/codes", {name: value for name, value in whole.items() if value is not None}, key)


@dataclass(frozen=True)
class Api:
    """It running. `hop`: what got the mails."""

    bank: Bank
    process: "ForkedService | subprocess.Popen[bytes]"
    log: Path
    hop: Hop
    pool: urllib3.PoolManager
    scheme: str = "http"

    @property
    def told(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text("utf-8", "replace")

    @property
    def base(self) -> str:
        """Its URL."""
        return f"{self.scheme}://127.0.0.1:{self.bank.ports.api}"

    def system(self, client: str = "online-banking") -> System:
        """A client of the settings; '' = one without a token."""
        return System(self.base, self.bank.token(client) if client else "", self.pool)

    def code(self, mail: int = -1, name: str = "anna") -> str:
        """The code that a customer reads in a mail, by openssl."""
        text = openssl.verify(openssl.decrypt(self.hop.mails[mail], self.bank.people[name]), self.bank.root)
        return re.findall(rb"(?<![0-9A-Za-z=.])[0-9]{6,10}(?![0-9A-Za-z=.])", text)[0].decode()

    def reload(self) -> None:
        """SIGHUP, and waits until it says that it has reloaded, or not."""
        before = self.told.count('"event": "reload.')
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + START_S
        while self.told.count('"event": "reload.') == before:
            assert time.monotonic() < end, self.told[-2000:]
            time.sleep(0.02)


@contextmanager
def api(home: Path, change: Callable[[str], str] = lambda text: text, *, tls: Path | None = None) -> Iterator[Api]:
    """A bank in `home` and its API, until the `with` ends; it must end well. `tls`: PEM of its server's root."""
    with Hop() as hop, urllib3.PoolManager(maxsize=64, **({"ca_certs": tls} if tls else {})) as pool:
        bank = new_bank(home, hop=hop.port, change=change, api=True)
        log = home / "api.log"
        with log.open("wb") as file:
            started = ForkedService(("--config", bank.config, "api"), output=file.fileno(),
                              environment={**os.environ, **ENVIRONMENT})
        running = Api(bank, started, log, hop, pool, "https" if tls else "http")
        try:
            answers(running)
            yield running
            started.terminate()
            assert started.wait(60) == 0, running.told[-2000:]
        finally:
            started.kill()
            started.wait()


def answers(running: Api) -> None:
    """Waits until it does."""
    end = time.monotonic() + START_S
    while True:
        try:
            if running.system("").ask("GET", "/healthz").status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        assert running.process.poll() is None, running.told[-2000:]
        assert time.monotonic() < end, running.told[-2000:]
        time.sleep(0.05)
