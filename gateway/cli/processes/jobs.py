"""`sealgate jobs`: the process that fetches in the background, judges held mail again and writes the daily report."""

import os

import typer

from gateway.app.processes import jobs as composition
from gateway.cli import context
from gateway.cli.context import exit_code, explained, reporting_errors, say
from gateway.cli.processes.first_set import first_set
from gateway.distribution import own_command
from gateway.errors import GatewayError
from gateway.frontends.processes.priority import stand_back
from gateway.settings import load

NICE = 10  # a list of half a million entries takes seconds of a core, which mail needs more


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(jobs)


def jobs() -> None:
    """Fetch CRLs, OCSP responses and issuers, verify held mail again, write the daily report, until SIGTERM.

    `sealgate run` starts this process. SIGHUP reloads the settings.

    Example: sealgate --config /etc/sealgate/sealgate.yaml jobs
    """
    stand_back(NICE)
    path = context.config_path()
    with reporting_errors():
        settings = first_set().settings
    command = (*own_command(), "--config", str(path.absolute()))
    try:
        ended = composition.serve_jobs(settings, lambda: load(path), command)
    except GatewayError as trouble:
        say(f"sealgate: {explained(trouble)}")
        raise typer.Exit(exit_code(trouble)) from None
    if not ended:
        os._exit(0)  # a thread waits for a remote server; the next start fetches again
