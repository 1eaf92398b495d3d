"""`sealgate api`: the interface for the bank's own systems, a process of its own."""

import typer

from gateway.app.processes import api as composition
from gateway.cli import context
from gateway.cli.context import USAGE, exit_code, explained, fail, reporting_errors, say
from gateway.cli.processes.first_set import first_set
from gateway.errors import GatewayError
from gateway.frontends.processes.memory_protection import start_anew
from gateway.model.sentences import SENTENCES
from gateway.settings import load

# In operation these may be temporary; at the start they are faults of the settings or of a file they name.
_ALSO_CONFIGURATION = ("key", "certificate")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(api)


def api() -> None:
    """Serve the HTTP API for codes and statement runs (`api` of the settings) until SIGTERM.

    SIGHUP reloads the settings. `sealgate run` starts this process.

    Example: sealgate --config /etc/sealgate/sealgate.yaml api
    """
    path = context.config_path().absolute()
    start_anew(["--config", str(path), "api"])
    with reporting_errors():
        first = first_set()
    try:
        composition.serve_api(first, lambda: load(path))
    except GatewayError as trouble:
        if trouble.reason.family not in _ALSO_CONFIGURATION:
            say(f"sealgate: {explained(trouble)}")
            raise typer.Exit(exit_code(trouble)) from None
        fail(f"{trouble.reason}: {trouble.detail or SENTENCES[trouble.reason].what}", USAGE)
