"""`sealgate fallbacks`: recipients without a certificate, the result for their mail, and how many have one since."""

from dataclasses import asdict

import structlog
import typer

from gateway import app as composition
from gateway.app.fallbacks import figures
from gateway.app.processes import jobs
from gateway.cli import context, listing
from gateway.cli.context import reporting_errors
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.model.audit.actor import act_by_default, automatic
from gateway.ports.services.fallbacks import Figures

log = structlog.get_logger("sealgate.waiting")

group = typer.Typer(help="Mail to recipients without a certificate: statistics, and held mail.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="fallbacks")


@group.callback(invoke_without_command=True)
def fallbacks(
    asked: typer.Context,
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """Show for each rule and fallback the recipients, their mails, and those with a certificate since.

    Example: sealgate fallbacks
    """
    if asked.invoked_subcommand is not None:
        return
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = figures(store)
        finally:
            store.close()
    listing.write(
        output_of(output, json=json),
        ("rule", "way", "people", "mails", "invited", "certificate since", "share", "first", "last"),
        [(row.rule, row.way, row.people, row.mails, row.invited, row.converted, f"{_share(row):.1%}", row.first_at,
          row.last_at) for row in found],
        "No fallback was used.", ({**asdict(row), "conversion": _share(row)} for row in found))


def _share(row: Figures) -> float:
    return round(row.converted / row.people, 4)


@group.command()
def again(json: Json = False) -> None:
    """Look up the certificates for held mail again, and send the mail for which there is one.

    It also notifies senders, returns mail that was held too long, and sends invitations. It needs the archive key.
    The jobs of `sealgate run` do this if they have the archive key.

    Example: sealgate fallbacks again
    """
    settings = context.settings()
    act_by_default(automatic())
    if context.is_child():
        jobs.log_as_child(settings)
    with reporting_errors():
        gateway = composition.Gateway(settings, by_set_in_force=True)
        trial = composition.Gateway(settings, dry_run_hop=composition.DryRunHop(), by_set_in_force=True)
        try:
            done = gateway.held_mail(trial.handle).round()
        finally:
            trial.close()
            gateway.close()
    if context.is_child():
        for row, outcome in done.sent:
            log.info("hold.decided", hold_id=row.hold_id, incident=outcome.incident, answer=outcome.answer)
        return
    counted = {"looked": done.examined, "left": len(done.sent), "told": done.notified, "given_up": done.returned,
               "invited": done.invited, "converted": done.converted}
    if json:
        listing.json_object(counted | {"left": [row.hold_id for row, _ in done.sent]})
    else:
        listing.sheet(counted)
