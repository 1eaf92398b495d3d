"""`sealgate demo`: a bank in a directory, and a tour through what is built."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.context import BAD, fail, reporting_errors
from gateway.clock import SystemClock
from gateway.demo import openssl
from gateway.demo.bank import CLIENTS, DOMAIN, NUMBERS, PASSWORD, Bank, Ports, open_bank
from gateway.demo.guide import Guide
from gateway.demo.process import Process, running
from gateway.demo.sink import Sink
from gateway.demo.tour import walk
from gateway.demo.world import Directory, Lists, World


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(demo)


def demo(
    home: Annotated[Path, typer.Option("--home", metavar="DIR",
                                       help="directory of the demo bank")] = Path("sealgate-demo"),
    once: Annotated[bool, typer.Option("--once", help="end after the tour; exit 0 only if all checks passed")] = False,
    port: Annotated[
        int, typer.Option("--port", help="first of eight ports: outbound, sink, inbound, and the other services")
    ] = 2525,
) -> None:
    """Run a demo bank and a guided tour: outbound mail verified by openssl, inbound mail created by it.

    Example: sealgate demo --once --home /tmp/bank
    """
    console = Console(highlight=False, soft_wrap=True)
    if not openssl.available():
        fail("the tour needs openssl. Install it: apt-get install openssl")
    with reporting_errors():
        with console.status("Making a bank: keys, certificates, settings, policies"):
            bank = open_bank(home.resolve(), Ports.beginning(port))
        sink = Sink(bank.home, bank.ports.sink, frozenset({DOMAIN}))
        world = _world(bank)
        try:
            _start(f"port {bank.ports.sink}", sink.start)
            _start(f"ports {bank.ports.lists} and {bank.ports.directory}", world.start)
            with running(bank) as gateway:
                guide = Guide(bank, console, world)
                held = walk(guide)
                _conclude(bank, guide, console)
                if not once:
                    _stay(bank, gateway, console)
        finally:
            world.stop()
            sink.stop()
    raise typer.Exit(0 if held else BAD)


def _world(bank: Bank) -> World:
    """The partner's directory, and the authorities' lists as of now."""
    certificates = {
        one.address: openssl.run("x509", "-in", one.certificate, "-outform", "DER") for one in bank.partners.values()
    }
    lists = Lists(bank.ports.lists)
    bank.authorities.publish(lists, SystemClock().now())
    return World(lists, Directory(bank.ports.directory, certificates))


def _start(what: str, start: Callable[[], None]) -> None:
    try:
        start()
    except OSError as trouble:
        fail(f"{what}: {trouble.strerror}. If another demo is running, choose other ports with --port")


def _conclude(bank: Bank, guide: Guide, console: Console) -> None:
    if guide.broken:
        console.print(f"\n[red]{len(guide.broken)} checks failed.[/red] The gateway's log: {bank.home}/gateway.log")
        return
    console.print(f"\n[green]All {guide.held} checks passed.[/green]")
    console.print(f"What left the gateway: {bank.home}/outgoing    what the bank received: {bank.home}/incoming")
    console.print(f"The customers' keys: {bank.home}/customers/*.p12, password {PASSWORD}")


def _stay(bank: Bank, gateway: Process, console: Console) -> None:
    home, ports, customer = bank.home, bank.ports, bank.people["anna"].address
    out, core = f"swaks --server 127.0.0.1:{ports.outbound}", CLIENTS["core-banking"]
    pkcs12 = f"{home}/customers/anna.p12:{PASSWORD}"
    sealgate = "sealgate" if which("sealgate") else Path(sys.argv[0]).absolute()
    token = f"cat {home}/clients/core-banking.token"
    lines = (
        "The demo bank keeps running. Try these in another terminal:",
        "",
        f"  {out} --from otp@{DOMAIN} --to {customer} --h-Subject 'Your code' --body 'Your code is 123 456.'",
        f"  {out} --local-interface {core} --from statements@{DOMAIN} --to {customer} --attach @{bank.root}",
        f"  swaks --server 127.0.0.1:{ports.inbound} --from {customer} --to support@{DOMAIN}",
        f"  {sealgate} inspect {home}/outgoing/001-{customer}.eml --trust {bank.root} --key {pkcs12}",
        f"  {sealgate} --config {bank.config} hold list",
        f"  {sealgate} --config {bank.config} otp send {NUMBERS['anna']} --client online-banking --purpose login",
        f"  {sealgate} --config {bank.config} statements check {home}/statements/november.yaml",
        f"  curl -H 'Authorization: Bearer '$({token}) http://127.0.0.1:{ports.api}/v1/statement-runs",
        "",
        "The demo's time-stamps do not ask the kernel whether the clock is right (clock_check: none).",
        "Press Ctrl-C to end.",
    )
    console.print("\n".join(lines))
    with suppress(KeyboardInterrupt):
        gateway.wait()
