"""`sealgate hold`: mail that rules held back; released mail goes through the whole way again."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final, TypeVar

import structlog
import typer

from gateway import app as composition
from gateway.app.operation import hold as holding
from gateway.app.operation.hold import Release
from gateway.app.processes import jobs
from gateway.app.store import Store
from gateway.cli import context, listing
from gateway.cli.context import REFUSED, TEMPORARY, USAGE, exit_code, explained, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.cli.operation.conditions import not_empty, one_of, reason_or_family
from gateway.cli.times import FORMS, past
from gateway.errors import GatewayError
from gateway.model.audit.actor import act_by_default, automatic
from gateway.model.outcome import Outcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.pipeline.background.rejudge import in_hand, judge_again, undecided
from gateway.ports.hold import HeldRow, Hold, HoldQuery, held_act

log = structlog.get_logger("sealgate.hold")

group = typer.Typer(no_args_is_help=True, help="Held and quarantined mail: list, show, release, reject.")
HoldId = Annotated[str, typer.Argument(metavar="ID", help="id, as `sealgate hold list` prints it")]
HoldIds = Annotated[list[str] | None,
                    typer.Argument(metavar="[ID]...", help="ids, as `sealgate hold list` prints them")]
All = Annotated[bool, typer.Option("--all", help="all waiting mail, or all that meets the conditions")]
Kind = Annotated[str, typer.Option("--kind", callback=not_empty, help="hold or quarantine")]
Address = Annotated[str, typer.Option("--address", callback=not_empty, help="sender or recipient, or @domain")]
Direction = Annotated[str, typer.Option("--direction", callback=not_empty, help="outbound or inbound")]
ReasonOption = Annotated[str, typer.Option("--reason", callback=not_empty,
                                           help="such as policy.quarantined, or its first part")]
Rule = Annotated[str, typer.Option("--rule", callback=not_empty, metavar="NAME", help="the rule that held it")]
Since = Annotated[str, typer.Option("--since", callback=not_empty, metavar="TIME", help=FORMS)]
Until = Annotated[str, typer.Option("--until", callback=not_empty, metavar="TIME", help="not this time and later")]

STATES: Final = ("waiting", "released", "rejected")
T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="hold")


@group.command("list")
def list_(
    state: Annotated[str, typer.Option("--state", help="waiting, released or rejected")] = "waiting",
    kind: Kind = "",
    address: Address = "",
    direction: Direction = "",
    reason: ReasonOption = "",
    rule: Rule = "",
    since: Since = "",
    until: Until = "",
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """List held mail, the oldest first. It needs no key, because the encrypted subject is not shown.

    Example: sealgate hold list --kind quarantine --since 1d
    """
    one_of("--state", state, STATES)
    query = _query(kind, address, direction, reason, rule, since, until)
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = store.hold.list(state=state, query=query)
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
        f"No mail is {state}." if query == HoldQuery() else "No held mail meets these conditions.",
        map(asdict, found),
    )


def _query(kind: str, address: str, direction: str, reason: str, rule: str, since: str, until: str) -> HoldQuery:
    one_of("--kind", kind, ("hold", "quarantine"))
    one_of("--direction", direction, ("outbound", "inbound"))
    reason_or_family(reason)
    return HoldQuery(kind, address, direction, reason, rule,
                     past(since, "--since") if since else None, past(until, "--until") if until else None)


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
def release(
    hold_ids: HoldIds = None,
    every: All = False,
    kind: Kind = "",
    address: Address = "",
    direction: Direction = "",
    reason: ReasonOption = "",
    rule: Rule = "",
    since: Since = "",
    until: Until = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask for confirmation before several mails")] = False,
    json: Json = False,
) -> None:
    """Process held mail again, without the rule that held it, and send it. Needs the archive key.

    A mail stays held unless all its recipients are completed. One that fails does not stop the next.
    Exit 69 if one is rejected, 75 if one is deferred.

    Example: sealgate hold release 4f1c2b7a90de

    Example: sealgate hold release --all --rule inbound:altered --since 1d
    """
    query = _query(kind, address, direction, reason, rule, since, until)
    settings = context.settings()
    with reporting_errors():
        gateway = composition.Gateway(settings, by_set_in_force=True)
        try:
            chosen = _chosen(gateway.store.hold, hold_ids or [], query, every=every)
            if not yes and len(chosen) > 1:
                _confirm(f"Release {len(chosen)} held mails?")
            done, code = _each(chosen, partial(holding.release, gateway))
        finally:
            gateway.close()
    if len(chosen) == 1 and not every:
        for one in done:
            _report_outcome(one.row, one.outcome, json=json)
    elif json:
        listing.json_array(_released(one) for one in done)
    else:
        listing.table(("id", "from", "answer", "reason"),
                      [(one.row.hold_id, one.row.sender or "<>", one.outcome.answer, one.outcome.reason)
                       for one in done])
    for one in done:
        if not one.is_done:
            say(f"sealgate: {one.row.hold_id} is still held")
            code = max(code, TEMPORARY if one.outcome.answer is Settled.LATER else REFUSED)
    if len(chosen) > 1 or every:
        say(f"{sum(one.is_done for one in done)} of {len(chosen)} released")
    if code:
        raise typer.Exit(code)


def _chosen(hold: Hold, hold_ids: Sequence[str], query: HoldQuery, *, every: bool) -> Sequence[str]:
    """The ids that are named, each once, or those of all waiting mail that meets the conditions."""
    if hold_ids and (every or query != HoldQuery()):
        fail("name ids, or use --all with conditions, not both", USAGE)
    if hold_ids:
        return tuple(dict.fromkeys(hold_ids))
    if not every:
        fail("name the id of a held mail, as `sealgate hold list` prints it, or use --all, alone or with conditions "
             "such as --rule", USAGE)
    return tuple(row.hold_id for row in hold.list(query=query))


def _confirm(question: str) -> None:
    if not (sys.stdin.isatty() and typer.confirm(question, err=True)):
        fail("nothing was changed. Use --yes to confirm without a terminal", USAGE)


def _each(hold_ids: Sequence[str], act: Callable[[str], T]) -> tuple[list[T], int]:
    """What was done, and the exit code for the failures; each of them is reported. One mail's failure stops no other.

    Where nothing more would succeed, since the store or a key is missing, the rest is not tried.
    """
    done, code = list[T](), 0
    for hold_id in (hold_ids if len(hold_ids) == 1 else listing.followed(hold_ids, "mails", len(hold_ids))):
        try:
            done.append(act(hold_id))
        except GatewayError as trouble:
            if len(hold_ids) == 1:
                raise
            say(f"sealgate: {hold_id}: {explained(trouble)}")
            code = max(code, exit_code(trouble))
            if trouble.reason.family in ("store", "key"):
                break
    return done, code


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
        listing.json_object(_released(Release(row, outcome)))
        return
    listing.table(
        ("recipient", "settled", "reason", "reply"),
        [(one.address, one.settled, one.reason, one.reply or one.detail) for one in outcome.recipients],
    )
    if outcome.reason is not None:
        sentence = SENTENCES[outcome.reason]
        say(f"sealgate: {outcome.reason}: {sentence.what} {sentence.admin}")


def _released(done: Release) -> dict[str, object]:
    return {
        "hold_id": done.row.hold_id,
        "incident": done.outcome.incident,
        "answer": done.outcome.answer,
        "reason": done.outcome.reason,
        "recipients": [asdict(one) for one in done.outcome.recipients],
    }


@group.command()
def reject(
    hold_ids: HoldIds = None,
    every: All = False,
    kind: Kind = "",
    address: Address = "",
    direction: Direction = "",
    reason: ReasonOption = "",
    rule: Rule = "",
    since: Since = "",
    until: Until = "",
    yes: Annotated[bool, typer.Option("--yes",
        help="do not ask for confirmation; the bodies are deleted permanently")] = False,
) -> None:
    """Reject held mail: its body is deleted, the record of who and why is kept. The sender is not notified.

    Example: sealgate hold reject 4f1c2b7a90de --yes

    Example: sealgate hold reject --all --kind quarantine --until 30d
    """
    query = _query(kind, address, direction, reason, rule, since, until)
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            chosen = _chosen(store.hold, hold_ids or [], query, every=every)
            if not yes and chosen:
                _confirm(f"Delete the body of {chosen[0] if len(chosen) == 1 else f'{len(chosen)} mails'} permanently?")
            done, code = _each(chosen, partial(_rejected, store))
        finally:
            store.close()
    if len(chosen) == 1 and not every:
        say(f"{done[0]}: rejected")
    else:
        say(f"{len(done)} of {len(chosen)} rejected")
    if code:
        raise typer.Exit(code)


def _rejected(store: Store, hold_id: str) -> str:
    holding.reject(store, hold_id)
    return hold_id
