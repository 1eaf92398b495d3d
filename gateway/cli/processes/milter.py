"""`sealgate milter`: Postfix hands its mail to this before it queues it."""

import typer

from gateway.cli import context
from gateway.cli.context import exit_code, explained, say
from gateway.cli.processes.first_set import first_set
from gateway.errors import GatewayError
from gateway.settings import InForce


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(milter)


def milter() -> None:
    """Serve the milter (`milter` of the settings) to Postfix until SIGTERM; mails in progress are finished first.

    `sealgate run` starts this process. SIGHUP reloads the settings.

    Example: sealgate --config /etc/sealgate/sealgate.yaml milter
    """
    path = context.config_path().absolute()
    with context.reporting_errors():
        first = first_set()
    # Not before: the command line of other commands must not load what touches keys.
    from gateway.app.processes import milter as composition
    from gateway.app.processes.relay import keep_memory, tell_expired

    try:
        hooks = composition.Hooks(keep_memory, tell_expired)
        composition.serve_milter(first, lambda: InForce.of(path), hooks)
    except GatewayError as trouble:
        say(f"sealgate: {explained(trouble)}")
        raise typer.Exit(exit_code(trouble)) from None
