"""`sealgate run`: one relay process with all that the configuration names."""

import typer

from gateway.cli import context
from gateway.cli.context import told
from gateway.serve import serve


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(run)


def run() -> None:
    """Serve the listeners of the configuration until SIGTERM; mails in work are finished first.

    Example: sealgate --config /etc/sealgate/sealgate.yaml run
    """
    settings = context.settings()
    with told():
        serve(settings, context.config_path())
