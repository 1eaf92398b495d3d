"""`sealgate`: the command. One file per command group; this one only puts them together."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli import cert, check, client, customer, demo, hold, inspect, key, mails, policy, run, trace
from gateway.cli.context import CONFIG_VARIABLE

app = typer.Typer(
    name="sealgate",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    help="A mail encryption gateway for banks: seals what leaves, opens and judges what comes.",
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        print(f"sealgate {__version__}")
        raise typer.Exit


@app.callback()
def configured(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="default: $SEALGATE_CONFIG, else /etc/sealgate/sealgate.yaml"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Example: sealgate --config /etc/sealgate/sealgate.yaml check."""
    del version
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config)


for _room in (run, demo, check, mails, inspect, trace, policy, cert, key, client, customer, hold):
    _room.register(app)


def main() -> None:
    """The entry point of the distribution."""
    app()
