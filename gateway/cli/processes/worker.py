"""`sealgate worker`: one relay worker; `sealgate run` starts as many as the settings say."""

import typer

from gateway.app.processes.relay import relay
from gateway.cli import context
from gateway.cli.processes.first_set import first_set
from gateway.errors import GatewayError
from gateway.frontends.processes.notify import notify, trouble_field
from gateway.frontends.processes.sockets import inherited


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(hidden=True)(worker)


def worker() -> None:
    """One worker process of the relay, on sockets that `sealgate run` has opened, until SIGTERM. Internal use only.

    Example: sealgate --config /etc/sealgate/sealgate.yaml worker
    """
    sockets, path = inherited(), context.config_path()
    try:
        ours = first_set()
        relay(ours.settings, path, sockets=sockets, policies=ours.policies, has_served=ours.has_served)
    except GatewayError as trouble:
        notify(trouble_field(trouble))
        if sockets is None:  # no process listens
            context.say(f"sealgate: {context.explained(trouble)}")
        raise typer.Exit(context.exit_code(trouble)) from None
