"""The demo's gateway as a process of its own, started as anybody would start it."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from gateway.demo.bank import Bank
from gateway.distribution import own_command
from gateway.errors import GatewayError, Reason

_READY_S: Final = 30.0
_STOP_S: Final = 30.0

Process = subprocess.Popen[bytes]


@contextmanager
def running(bank: Bank) -> Iterator[Process]:
    """`sealgate run` over the bank's configuration, for as long as the `with` lasts; its log is DIR/gateway.log.

    GatewayError(CONFIG_INVALID) if it does not start, or another process has its ports and would be taken for it.
    A SIGTERM to this process ends the gateway, too.
    """
    for port in (bank.ports.outbound, bank.ports.inbound):
        if _greets(port):
            detail = f"port {port}: Address already in use; is another demo running? Choose others with --port"
            raise GatewayError(Reason.CONFIG_INVALID, detail)
    before = signal.signal(signal.SIGTERM, _end)
    with (bank.home / "gateway.log").open("ab") as log:
        command = [*own_command(), "--config", str(bank.config), "run"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(bank, process)
        yield process
    finally:
        process.terminate()
        process.wait(_STOP_S)
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _wait(bank: Bank, process: Process) -> None:
    deadline = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < deadline:
        if all(_greets(port) for port in (bank.ports.outbound, bank.ports.inbound)):
            return
        time.sleep(0.05)
    words = (bank.home / "gateway.log").read_text("utf-8", "replace").strip().splitlines()
    last = words[-1] if words else "nothing"
    raise GatewayError(Reason.CONFIG_INVALID, f"the gateway did not start; its last words: {last}")


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False
