"""`sealgate run`: one relay process with all that the configuration names."""

import typer

from gateway.cli import context
from gateway.cli.context import USAGE, exit_code, explained, fail, say
from gateway.errors import GatewayError
from gateway.model.sentences import SENTENCES
from gateway.serve import serve

# In work these may pass; at the start they are what somebody wrote into the settings or laid in their place.
_ALSO_CONFIGURATION = ("key", "certificate")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(run)


def run() -> None:
    """Serve the listeners of the configuration until SIGTERM; mails in work are finished first.

    Example: sealgate --config /etc/sealgate/sealgate.yaml run
    """
    settings = context.settings()
    try:
        serve(settings, context.config_path())
    except GatewayError as trouble:
        if trouble.reason.family not in _ALSO_CONFIGURATION:
            say(f"sealgate: {explained(trouble)}")
            raise typer.Exit(exit_code(trouble)) from None
        fail(f"{trouble.reason}: {trouble.detail or SENTENCES[trouble.reason].what}", USAGE)
