"""`sealgate hold`: mail that rules held back; released mail goes through the whole way again."""

import sys
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from typing import Annotated

import structlog
import typer

from gateway import app as composition
from gateway.app.processes import jobs
from gateway.cli import context, listing
from gateway.cli.context import REFUSED, TEMPORARY, USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.model.audit.actor import act_by_default, automatic
from gateway.model.audit.acts import Act
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.pipeline.background.rejudge import in_hand, judge_again, undecided
from gateway.ports.hold import HeldRow, held_act

log = structlog.get_logger("sealgate.hold")

group = typer.Typer(no_args_is_help=True, help="Held and quarantined mail: list, show, release, reject.")
HoldId = Annotated[str, typer.Argument(metavar="ID", help="id, as `sealgate hold list` prints it")]
DONE = frozenset({Settled.TAKEN, Settled.HELD, Settled.SERVED, Settled.REPORTED, Settled.DISCARDED})


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="hold")


@group.command("list")
def list_(
    state: Annotated[str, typer.Option("--state", help="waiting, released or rejected")] = "waiting",
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """List held mail, the oldest first. It needs no key, because the encrypted subject is not shown.

    Example: sealgate hold list
    """
    if state not in {"waiting", "released", "rejected"}:
        fail("--state must be one of: waiting, released, rejected", context.USAGE)
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = store.hold.list(state=state)
        finally:
            store.close()
    listing.write(
        output_of(output, json=json),
        ("id", "kind", "since", "from", "to", "subject", "rule", "reason", "octets"),
        [
            (
                row.hold_id,
                row.kind,
                row.at,
                row.sender or "<>",
                row.recipients,
                row.subject,
                row.rule,
                row.reason,
                row.size,
            )
            for row in found
        ],
        f"No mail is {state}.",
        map(asdict, found),
    )


@group.command()
def show(
    hold_id: HoldId,
    mail: Annotated[bool, typer.Option("--mail", help="print the mail itself; needs the archive key")] = False,
    json: Json = False,
) -> None:
    """Show one held mail: reason and recipients; with --mail the mail itself.

    Example: sealgate hold show 4f1c2b7a90de --mail > held.eml
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            if mail:
                with store.audit.carrying_out(held_act("hold.read", store.hold.row(hold_id))):
                    sys.stdout.buffer.write(store.hold.get(hold_id)[1].octets)
                    sys.stdout.buffer.flush()
                return
            row = store.hold.row(hold_id)
        finally:
            store.close()
    if json:
        listing.json_object(asdict(row))
    else:
        listing.sheet(asdict(row))


@group.command()
def release(hold_id: HoldId, json: Json = False) -> None:
    """Process a held mail again, without the rule that held it, and send it. Needs the archive key.

    It stays held unless all recipients are completed. Exit 69 if it is rejected, 75 if it is deferred.

    Example: sealgate hold release 4f1c2b7a90de
    """
    settings = context.settings()
    with reporting_errors():
        gateway = composition.Gateway(settings, by_set_in_force=True)
        try:
            with in_hand(gateway.store.journal, hold_id) as hand:
                row, mail = gateway.store.hold.get(hold_id)
                with gateway.store.audit.carrying_out(_release_act(row, mail)) as carried:
                    outcome = hand.let_go(partial(gateway.handle, released=True), mail)
                    if outcome.answer in DONE:
                        gateway.store.hold.settle(hold_id, "released")
                        carried.recorded = True
                    else:
                        carried.failure = str(outcome.reason or outcome.answer)
        finally:
            gateway.close()
    _report_outcome(row, outcome, json=json)
    if outcome.answer not in DONE:
        say(f"sealgate: {hold_id} is still held")
        raise typer.Exit(TEMPORARY if outcome.answer is Settled.LATER else REFUSED)


def _release_act(row: HeldRow, mail: Mail) -> Act:
    """With the digest of the content: an approval is for this mail."""
    act = held_act("hold.release", row)
    return replace(act, details={**act.details, "sha256": sha256(mail.octets).hexdigest()})


@group.command()
def again(json: Json = False) -> None:
    """Verify mail again that was held because a CRL, an OCSP response or an issuer was missing.

    Needs the archive key. Mail with a verdict is processed by all rules again; the rest stays held. The jobs of
    `sealgate run` do this if they have the archive key.

    Example: sealgate hold again
    """
    settings = context.settings()
    act_by_default(automatic())
    if context.is_child():
        jobs.log_as_child(settings)
    done: list[tuple[HeldRow, Outcome]] = []
    with reporting_errors():
        gateway = composition.Gateway(settings, by_set_in_force=True)
        trial = composition.Gateway(settings, dry_run_hop=composition.DryRunHop(), by_set_in_force=True)
        try:
            hold = gateway.store.hold
            for row in tuple(undecided(hold, gateway.store.evidence)):
                with in_hand(gateway.store.journal, row.hold_id) as hand:
                    outcome = judge_again(row, hold, trial.handle, partial(hand.let_go, gateway.handle))
                if outcome is not None:
                    done.append((row, outcome))
        finally:
            trial.close()
            gateway.close()
    if context.is_child():
        for row, outcome in done:
            log.info("hold.decided", hold_id=row.hold_id, incident=outcome.incident, answer=outcome.answer)
    elif json:
        listing.json_array({"hold_id": row.hold_id, "answer": outcome.answer} for row, outcome in done)
    else:
        listing.table(("id", "from", "answer"), [(row.hold_id, row.sender, outcome.answer) for row, outcome in done])


def _report_outcome(row: HeldRow, outcome: Outcome, *, json: bool) -> None:
    if json:
        listing.json_object(
            {
                "hold_id": row.hold_id,
                "incident": outcome.incident,
                "answer": outcome.answer,
                "reason": outcome.reason,
                "recipients": [asdict(one) for one in outcome.recipients],
            }
        )
        return
    listing.table(
        ("recipient", "settled", "reason", "reply"),
        [(one.address, one.settled, one.reason, one.reply or one.detail) for one in outcome.recipients],
    )
    if outcome.reason is not None:
        sentence = SENTENCES[outcome.reason]
        say(f"sealgate: {outcome.reason}: {sentence.what} {sentence.admin}")


@group.command()
def reject(
    hold_id: HoldId,
    yes: Annotated[bool, typer.Option("--yes",
        help="do not ask for confirmation; the mail's body is deleted permanently")] = False,
) -> None:
    """Reject a held mail: its body is deleted, the record of who and why is kept. The sender is not notified.

    Example: sealgate hold reject 4f1c2b7a90de --yes
    """
    settings = context.settings()
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete the body of {hold_id} permanently?", err=True)):
        fail("nothing was changed. Use --yes to confirm without a terminal", USAGE)
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            with in_hand(store.journal, hold_id):
                store.hold.settle(hold_id, "rejected")
        finally:
            store.close()
    say(f"{hold_id}: rejected")
