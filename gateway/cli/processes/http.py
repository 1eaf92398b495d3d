"""`sealgate http`: the HTTP service, a process of its own, and the tokens of its partners."""

from typing import Annotated

import typer

from gateway.app.processes import http as composition
from gateway.app.tokens import partner_token
from gateway.cli import context
from gateway.cli.context import USAGE, exit_code, explained, fail, reporting_errors, say
from gateway.cli.processes.first_set import first_set
from gateway.errors import GatewayError
from gateway.model.sentences import SENTENCES
from gateway.settings import load

# In operation these may be temporary; at the start they are faults of the settings or of a file they name.
_ALSO_CONFIGURATION = ("key", "certificate")

group = typer.Typer()


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="http")


@group.callback(invoke_without_command=True)
def run(called: typer.Context) -> None:
    """Serve time-stamps and certificates for partners over HTTP (`http` of the settings) until SIGTERM.

    SIGHUP reloads the settings. `sealgate run` starts this process.

    Example: sealgate --config /etc/sealgate/sealgate.yaml http
    """
    if called.invoked_subcommand is not None:
        return
    with reporting_errors():
        settings = first_set().settings
    try:
        composition.serve_http(settings, lambda: load(context.config_path()))
    except GatewayError as trouble:
        if trouble.reason.family not in _ALSO_CONFIGURATION:
            say(f"sealgate: {explained(trouble)}")
            raise typer.Exit(exit_code(trouble)) from None
        fail(f"{trouble.reason}: {trouble.detail or SENTENCES[trouble.reason].what}", USAGE)


@group.command()
def token(name: Annotated[str, typer.Argument(metavar="PARTNER",
                                              help="name in `http.partners` of the settings")]) -> None:
    """Generate a partner's token and print it once. `token_file` stores its SHA-256; the old token expires.

    Example: sealgate http token payments
    """
    settings = context.settings()
    with reporting_errors():
        made = partner_token(settings, name)
    print(made)
    say(f"sealgate: partner {name} has a new token. Run `sealgate reload` to activate it")
