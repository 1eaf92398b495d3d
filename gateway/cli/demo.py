"""`sealgate demo`: a bank in a directory, and a tour through what is built."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.context import BAD, fail, told
from gateway.demo import openssl
from gateway.demo.bank import CLIENTS, PASSWORD, Bank, Ports, open_bank
from gateway.demo.sink import Sink
from gateway.demo.tour import Tour

_READY_S = 30.0


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(demo)


def demo(
    home: Annotated[Path, typer.Option("--home", metavar="DIR", help="where the bank lives")] = Path("sealgate-demo"),
    once: Annotated[bool, typer.Option("--once", help="end after the tour; exit 0 only if every claim held")] = False,
    port: Annotated[int, typer.Option("--port", help="first of three ports: outbound, sink, inbound")] = 2525,
) -> None:
    """A demo bank and a guided tour: sealed mail out, opened mail in, each claim checked by openssl.

    Example: sealgate demo --once --home /tmp/bank
    """
    console = Console()
    if not openssl.available():
        fail("the tour checks every claim with openssl: apt-get install openssl")
    with told():
        with console.status("Making a bank: keys, certificates, settings, policies"):
            bank = open_bank(home.resolve(), Ports(port, port + 1, port + 2))
        arrived: list[Path] = []
        sink = Sink(bank.home, bank.ports.sink, frozenset({"bank.example"}), arrived.append)
        try:
            sink.start()
        except OSError as trouble:
            fail(f"port {bank.ports.sink}: {trouble.strerror}; is another demo running? Choose others with --port")
        gateway = _start(bank)
        try:
            held = _tour(bank, console)
            if not once:
                _stay(bank, console, gateway)
        except KeyboardInterrupt:
            held = True
        finally:
            gateway.terminate()
            gateway.wait(timeout=30)
            sink.stop()
    raise typer.Exit(0 if held else BAD)


def _start(bank: Bank) -> "subprocess.Popen[bytes]":
    """The gateway as anybody would start it; ready when its ports answer."""
    log = (bank.home / "gateway.log").open("ab")
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], stderr=log, stdout=log
    )
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if all(_answers(port) for port in (bank.ports.outbound, bank.ports.inbound)):
            return process
        time.sleep(0.05)
    process.terminate()
    fail(f"the gateway did not start; its own words are in {bank.home / 'gateway.log'}")


def _answers(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def _tour(bank: Bank, console: Console) -> bool:
    tour = Tour(bank, console)
    held = tour.walk()
    if held:
        console.print(
            f"\n[green]All {tour.held} claims held.[/green] What left: {bank.home / 'outgoing'}, what came: {bank.home / 'incoming'}"
        )
    else:
        console.print(
            f"\n[red]{len(tour.broken)} claims are false.[/red] The gateway's log: {bank.home / 'gateway.log'}"
        )
    return held


def _stay(bank: Bank, console: Console, gateway: "subprocess.Popen[bytes]") -> None:
    core = CLIENTS["core-banking"]
    console.print(
        f"""
The bank stays up. From another terminal:

  swaks --server 127.0.0.1:{bank.ports.outbound} --from otp@bank.example --to anna@customer.example --header 'Subject: Your code' --body 'Your code is 123 456.'
  swaks --server 127.0.0.1:{bank.ports.outbound} --local-interface {core} --from statements@bank.example --to anna@customer.example --attach {bank.config}
  swaks --server 127.0.0.1:{bank.ports.inbound} --from anna@customer.example --to support@bank.example
  sealgate inspect {bank.home}/outgoing/001-anna@customer.example.eml --trust {bank.root} --key {bank.home}/customers/anna.p12:{PASSWORD}

The demo's time-stamps do not ask the kernel whether the clock is right (clock_check: none).
Press Ctrl-C to end.""",
        highlight=False,
        soft_wrap=True,
    )
    gateway.wait()
