"""`sealgate milter`: Postfix hands its mail to this before it queues it."""

from importlib.util import find_spec
from typing import Final

import typer

from gateway.cli import context
from gateway.cli.context import USAGE, exit_code, explained, fail, say
from gateway.errors import GatewayError
from gateway.settings import InForce

NEEDED: Final = ("`milter` in the settings needs the package pymilter. Run `make milter` in Sealgate's directory, or "
                 "install libmilter-dev and run pip install 'sealgate[milter]'")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(milter)


def milter() -> None:
    """Serve the milter (`milter` of the settings) to Postfix until SIGTERM; mails in progress are finished first.

    `sealgate run` starts this process. SIGHUP reloads the settings.

    Example: sealgate --config /etc/sealgate/sealgate.yaml milter
    """
    path = context.config_path().absolute()
    with context.told():
        first = InForce.of(path)
    if not installed():
        fail(NEEDED, USAGE)
    # Not before: pymilter is an extra, and the supervisor, which asks `installed`, must not load what touches keys.
    from gateway.app.processes import milter as composition
    from gateway.app.processes.relay import keep_memory, tell_expired

    try:
        hooks = composition.Hooks(keep_memory, tell_expired)
        composition.serve_milter(first, lambda: InForce.of(path), hooks)
    except GatewayError as trouble:
        say(f"sealgate: {explained(trouble)}")
        raise typer.Exit(exit_code(trouble)) from None


def installed() -> bool:
    """Whether pymilter is there."""
    return find_spec("Milter") is not None
