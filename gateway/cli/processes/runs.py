"""`sealgate runs`: the process beside the relay that works on runs of statements."""

import typer

from gateway.app.statements import leaders
from gateway.cli import context
from gateway.cli.context import exit_code, explained, reporting_errors, say
from gateway.cli.processes.first_set import first_set
from gateway.errors import GatewayError
from gateway.settings import load


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(hidden=True)(runs)


def runs() -> None:
    """Process runs that were requested over HTTP, or whose command has ended, until SIGTERM.

    SIGHUP reloads the settings. `sealgate run` starts this process.

    Example: sealgate --config /etc/sealgate/sealgate.yaml runs
    """
    path = context.config_path()
    with reporting_errors():
        settings = first_set().settings
    try:
        leaders.serve_runs(settings, lambda: load(path))
    except GatewayError as trouble:
        say(f"sealgate: {explained(trouble)}")
        raise typer.Exit(exit_code(trouble)) from None
