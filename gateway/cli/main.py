"""`sealgate`: the command. One file per command group; this one only puts them together."""

import atexit
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli.audit.actor import command_actor
from gateway.cli.context import CONFIG_VARIABLE
from gateway.cli.summaries import SUMMARIES
from gateway.frontends.processes.memory_protection import no_core
from gateway.model.audit.actor import act_by_default

# Command to the file that registers it, in the order of `--help`.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "run": "processes.run",
        "reload": "processes.run",
        "demo": "demo",
        "init": "init",
        "check": "check.command",
        "seal": "seal_open",
        "open": "seal_open",
        "inspect": "inspect.command",
        "status": "operation.status",
        "mails": "operation.mails",
        "trace": "trace.command",
        "audit": "audit.command",
        "legal-hold": "audit.legal_hold",
        "policy": "policy.command",
        "cert": "cert.command",
        "key": "key",
        "client": "client",
        "customer": "customer",
        "statements": "statements.command",
        "documents": "documents",
        "hold": "operation.hold",
        "fallbacks": "fallbacks",
        "otp": "otp",
        "revocation": "revocation",
        "compliance": "compliance.command",
        "database": "database",
        "backup": "backup",
        "restore": "backup",
        "jobs": "processes.jobs",
        "milter": "processes.milter",
        "http": "processes.http",
        "api": "processes.api",
        "worker": "processes.worker",
        "runs": "processes.runs",
    }
)

_COMPLETION = "_SEALGATE_COMPLETE"  # set by the shell; the words are not in the arguments then

# These commands handle neither keys nor mail, so core dumps of them are allowed.
_NO_SECRETS = ("run", "reload", "demo")


def _version(value: bool) -> None:
    if value:
        print(f"sealgate {__version__}")
        raise typer.Exit


def configured(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", readable=False,
                     help="the settings; default: $SEALGATE_CONFIG, else /etc/sealgate/sealgate.yaml"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Example: sealgate --config /etc/sealgate/sealgate.yaml check."""
    del version
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command with what these arguments need: the database's libraries alone would cost `inspect` a second.

    Arguments that name no command get all commands.
    """
    app = _application()
    if "--version" in arguments:
        return app
    named = _command(arguments)
    files = (COMMANDS[named],) if named in COMMANDS else tuple(dict.fromkeys(COMMANDS.values()))
    for file in files:
        import_module(f"gateway.cli.{file}").register(app)
    return app


def overview() -> typer.Typer:
    """All commands by name and summary, without their files: for `--help` and for a misspelled command."""
    app = _application()
    for name, summary in SUMMARIES.items():
        app.command(name, help=summary)(_nothing)
    return app


def _nothing() -> None:
    pass


def _application() -> typer.Typer:
    app = typer.Typer(
        name="sealgate",
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode="rich",
        help="A mail encryption gateway for banks: signs and encrypts outbound mail, decrypts and verifies inbound.",
        pretty_exceptions_enable=False,
    )
    app.callback()(configured)
    return app


def _command(arguments: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of `--config`."""
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--config":
            skip = True
        elif not argument.startswith("-"):
            return argument
    return ""


def main() -> None:
    """The entry point of the distribution. Logs of every command go to standard error.

    The garbage collector is off while modules load, and has no objects to search at the end: it would search the same
    modules dozens of times and find nothing. That is 40 % of the CPU that a worker's start and end cost.
    """
    gc.disable()
    atexit.register(gc.freeze)  # registered first, so it runs last
    command = _command(sys.argv[1:])
    if command not in _NO_SECRETS:
        no_core()
    act_by_default(command_actor(command))
    if command in COMMANDS:
        from gateway.frontends.telemetry.logs import (
            configure,  # a tenth of a second that help and completion do not need
        )

        configure("warning")  # processes of the service set their own level
    known = command in COMMANDS or _COMPLETION in os.environ
    commands = application(sys.argv[1:]) if known else overview()
    gc.freeze()
    gc.enable()
    commands()
