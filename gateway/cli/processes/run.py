"""`sealgate run`: all that the configuration names, on all cores that it names."""

from collections.abc import Sequence

import typer

from gateway.cli import context
from gateway.cli.context import USAGE, exit_code, explained, fail, say
from gateway.distribution import own_command
from gateway.errors import GatewayError
from gateway.frontends.processes.control import ask_for_reload, place
from gateway.frontends.processes.supervisor import Supervisor
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.model.audit.acts import Act
from gateway.model.sentences import SENTENCES
from gateway.settings import InForce, Settings

# In operation these may be temporary; at the start they are faults of the settings or of a file they name.
_ALSO_CONFIGURATION = ("key", "certificate")


def register(app: typer.Typer) -> None:
    """Adds both commands."""
    app.command()(run)
    app.command()(reload)


def run() -> None:
    """Serve the listeners of the settings until SIGTERM; mails in progress are finished first.

    SIGHUP reloads the settings. If they have an error, the old ones stay in force.

    Example: sealgate --config /etc/sealgate/sealgate.yaml run
    """
    path = context.config_path().absolute()
    with context.reporting_errors():
        first = InForce.of(path)
    settings = first.settings
    configure(settings.log_level)
    metrics.clean(settings)
    own_process()
    command = (*own_command(), "--config", str(path))
    try:
        Supervisor(first, lambda: InForce.of(path), command, beside=beside).run()
    except GatewayError as trouble:
        if trouble.reason.family not in _ALSO_CONFIGURATION:
            say(f"sealgate: {explained(trouble)}")
            raise typer.Exit(exit_code(trouble)) from None
        fail(f"{trouble.reason}: {trouble.detail or SENTENCES[trouble.reason].what}", USAGE)


def reload() -> None:
    """Let `sealgate run` reload its settings, and wait until all its processes use them.

    Exit 0: the new rules apply to all new mail. Otherwise the old ones stay in force, and the message says why.

    Example: sealgate --config /etc/sealgate/sealgate.yaml reload
    """
    from gateway.app.audit.recorded import recorded  # here, for it loads what uses keys: the supervisor has none of it

    settings = context.settings()
    with context.reporting_errors():
        _require_approval(settings)
    with context.reporting_errors(), recorded(settings, Act("settings.reload", str(context.config_path().absolute()))):
        rules = ask_for_reload(place(settings))
    say(f"sealgate: reloaded; {rules.get('rules')} rules are in force, digest {rules.get('digest')}")


def _require_approval(settings: Settings) -> None:
    """Of the policy set, where `four_eyes` has `policy`."""
    from gateway import app as composition
    from gateway.app.audit.four_eyes import stored

    if not settings.database_id.exists():
        return
    store = composition.open_store(settings)
    try:
        if "policy" in stored(store.database).acts | set(settings.four_eyes):
            store.policy_sets.require_approval(composition.load_rules(settings).digest)
    finally:
        store.close()


def beside(settings: Settings) -> Sequence[str]:
    """The commands of the processes beside the relay."""
    commands = ["jobs"]
    if settings.http is not None or settings.metrics is not None:
        commands.append("http")
    if settings.api is not None:
        commands.append("api")
    if settings.milter is not None:
        commands.append("milter")
    if works_on_runs(settings):
        commands.append("runs")
    return commands


def works_on_runs(settings: Settings) -> bool:
    """Whether there is a process for runs: where they come over HTTP, or where several nodes share them.

    Elsewhere the command that begins a run works on it.
    """
    asked = settings.api is not None or settings.postgresql is not None
    return settings.statements is not None and settings.mode == "live" and asked
