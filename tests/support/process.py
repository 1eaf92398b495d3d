"""The real relay as a process of its own, over a demo's bank whose settings a test may change as text."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from gateway.app.database import adopt
from gateway.demo.bank import KEYS, Bank, Ports, open_bank
from gateway.errors import GatewayError
from gateway.settings import load
from tests.support.command_server import CONSTANTS, ForkedService

ROOT = Path(__file__).parents[2]
START_S = 60.0
_PORTS = range(12_000, 32_000)  # below net.ipv4.ip_local_port_range
_LANES = 8  # of pytest's workers
_KEPT: list["TemporaryDirectory[str]"] = []


def _lane() -> Iterator[int]:
    """Ports of this test process, one after the other: a test next door must not take one before it is listened on."""
    size = len(_PORTS) // _LANES
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _LANES
    ports, start = _PORTS[worker * size:(worker + 1) * size], secrets.randbelow(size)
    return cycle((*ports[start:], *ports[:start]))


_next_ports = _lane()


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, and that the kernel gives to no outgoing connection meanwhile."""
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        with contextlib.suppress(OSError):
            sockets.append(socket.create_server(("127.0.0.1", next(_next_ports))))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@cache
def template(*, rsa: bool = False) -> Path:
    """A bank in a directory, once per test process: making keys is what would take time.

    Its own keys are P-256: each process of a gateway loads them, and OpenSSL checks an RSA key for 30 to 100 ms. `rsa`:
    they are RSA, as in the bank that `sealgate demo` makes. The customers always have RSA keys.
    """
    keep: TemporaryDirectory[str] = TemporaryDirectory(prefix="bank-")
    _KEPT.append(keep)
    home = Path(keep.name) / "home"
    with patch.dict(KEYS, {} if rsa else dict.fromkeys(KEYS, "p-256")):
        open_bank(home, Ports())
    return home


def demo_bank(home: Path, ports: Ports, *, rsa: bool = False) -> Bank:
    """A bank in the new directory `home`, with the keys of the template."""
    shutil.copytree(template(rsa=rsa), home, dirs_exist_ok=True)
    return open_bank(home, ports)


def new_bank(home: Path, *, hop: int | None = None, change: Callable[[str], str] = lambda text: text,
             api: bool = False) -> Bank:
    """A bank on free ports. `hop`: the port of the next hop; `change`: what becomes of the settings' text.

    `api`: with the HTTP interface for the bank's own systems, on bank.ports.api.

    One relay worker: a second takes two seconds more to start, and most tests have no use for it.
    """
    outbound, inbound, unused, http, metrics, asked = free_ports(6)
    bank = demo_bank(home, Ports(outbound, hop or unused, inbound, http=http, metrics=metrics,
                                 api=asked if api else 0))
    text = bank.config.read_text("utf-8").replace("processes: {relay: 2}", "processes: {relay: 1}")
    bank.config.write_text(change(text), "utf-8")
    settings = load(bank.config)
    if settings.postgresql is not None:
        with contextlib.suppress(GatewayError):  # an empty one, which a test fills
            adopt(settings)
    return bank


def without_web(text: str) -> str:
    """The settings without the HTTP service and the metrics: one process less, a third of the CPU of a start."""
    return re.sub(r"(?m)^(http|metrics): .*\n", "", text)


def without_services(text: str) -> str:
    """The demo's settings without codes and statements: whoever has their mailboxes must route them in Postfix, too."""
    text = re.sub(r"(?m)^(?:codes|statements): .*\n(?:  .*\n)*", "", text)
    return text.replace("policies/bounces.yaml, ", "")


@dataclass(frozen=True)
class Relay:
    """A running one."""

    bank: Bank
    process: "subprocess.Popen[bytes] | ForkedService"
    log: Path

    @property
    def told(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text("utf-8", "replace")

    def reload(self, word: str) -> None:
        """SIGHUP, and waits until the log has one line more with `word`."""
        before = self.told.count(word)
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + START_S
        while self.told.count(word) == before:
            assert time.monotonic() < end, self.told[-2000:]
            time.sleep(0.02)

    def submit(
        self,
        octets: bytes,
        to: Sequence[str],
        *,
        sender: str = "otp@bank.example",
        peer: str = "127.0.0.1",
        options: Sequence[str] = (),
    ) -> tuple[int, str]:
        """A mail of a client of ours (told apart by `peer`): code and text of the reply that decided it."""
        return submit(self.bank.ports.outbound, octets, to, sender=sender, peer=peer, options=options)

    def receive(
        self, octets: bytes, to: Sequence[str], *, sender: str = "anna@customer.example", options: Sequence[str] = ()
    ) -> tuple[int, str]:
        """A mail from the world."""
        return submit(self.bank.ports.inbound, octets, to, sender=sender, options=options)


def submit(
    port: int, octets: bytes, to: Sequence[str], *, sender: str, peer: str = "127.0.0.1", options: Sequence[str] = ()
) -> tuple[int, str]:
    """One transaction with the standard library's client; the first refusal, else the reply to the final dot."""
    with smtplib.SMTP("127.0.0.1", port, timeout=120, source_address=(peer, 0)) as smtp:
        smtp.ehlo("client.bank.example")
        code, text = smtp.mail(sender, options)
        if code == 250:
            replies = [smtp.rcpt(one) for one in to]
            code, text = next((one for one in replies if one[0] not in (250, 251)), (250, b""))
        if code == 250:
            code, text = smtp.data(octets)
    return code, text.decode("utf-8", "replace")


@contextmanager
def relay(bank: Bank, *, wait_for: Sequence[int] = (), arguments: Sequence[str] | None = None,
          forked: bool = False, constants: Mapping[str, float] | None = None) -> Iterator[Relay]:
    """`sealgate run`, until its listeners answer; ended by SIGTERM, which must end it well.

    `arguments`: another program than `-m gateway --config … run`. `forked`: its processes are forked from one that has
    loaded the gateway, which saves a second of CPU each; for tests whose subject is not a process. `constants`: values
    of the gateway's constants ("gateway.module.NAME_S") in the forked processes, for a test that waits for an interval.
    """
    log = bank.home / "gateway.log"
    process: subprocess.Popen[bytes] | ForkedService
    with log.open("ab") as file:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if forked:
            environment[CONSTANTS] = json.dumps(dict(constants or {}))
            process = ForkedService(("--config", bank.config, "run"), output=file.fileno(), environment=environment)
        else:
            command = [sys.executable, *(arguments or ("-m", "gateway", "--config", str(bank.config), "run"))]
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env=environment)
    running = Relay(bank, process, log)
    try:
        for port in (bank.ports.outbound, bank.ports.inbound, *wait_for):
            _answers(running, port)
        yield running
        process.terminate()
        assert process.wait(60) == 0, running.told[-2000:]
    finally:
        process.kill()
        process.wait()


def _answers(running: Relay, port: int) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(3) == b"220":
                    return
        except OSError:
            pass
        assert running.process.poll() is None, running.told[-2000:]
        assert time.monotonic() < end, running.told[-2000:]
        time.sleep(0.05)
