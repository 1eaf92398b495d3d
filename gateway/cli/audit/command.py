"""`sealgate audit`: who did what, when, from where, to which object, and with what result."""

import json as json_text
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer

from gateway import app as composition
from gateway.app.audit.heads import HeadSigner, signer, take_head
from gateway.app.audit.verify import verify as composition_verify
from gateway.app.processes import jobs
from gateway.cli import context, listing
from gateway.cli.audit import approvals
from gateway.cli.audit.heads import read_head
from gateway.cli.context import BAD, USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption
from gateway.cli.times import FORMS, past
from gateway.model.audit.acts import ACTS
from gateway.model.audit.record import AuditEntry, exported
from gateway.ports.audit import AuditLog, AuditQuery

log = structlog.get_logger("sealgate.audit")

LAST_MAX: Final = 1_000_000
COLUMNS: Final = ("number", "at", "actor", "from", "act", "object", "result", "reason")
_RESULTS: Final = ("begun", "done", "failed")

group = typer.Typer(no_args_is_help=True, help="The audit log: who did what, when, from where, with what result.")

ActorOption = Annotated[str, typer.Option("--actor", metavar="NAME", help="a user, client or program")]
ActOption = Annotated[str, typer.Option("--act", metavar="NAME", help="such as hold.release, or its first part")]
ObjectOption = Annotated[str, typer.Option("--object", metavar="ID",
                                           help="a held mail, certificate, customer, key, run, …")]
ClientOption = Annotated[str, typer.Option("--client", metavar="NAME", help="only what this client of the API did")]
ResultOption = Annotated[str, typer.Option("--result", help="begun, done or failed")]
SinceOption = Annotated[str, typer.Option("--since", metavar="TIME", help=FORMS)]
UntilOption = Annotated[str, typer.Option("--until", metavar="TIME", help="not this time and later")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    approvals.register(group)
    app.add_typer(group, name="audit")


@group.command("list")
def list_(
    last: Annotated[int, typer.Option("--last", min=1, max=LAST_MAX, help="show at most so many")] = 50,
    actor: ActorOption = "",
    act: ActOption = "",
    object_: ObjectOption = "",
    client: ClientOption = "",
    result: ResultOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List records of the audit log, the newest last. `sealgate audit show NUMBER` shows one in full.

    Example: sealgate audit list --act hold.release --since 7d
    """
    query = _query(actor, act, object_, client, result, since, until)
    with audit_log() as log_:
        found = list(islice(log_.entries(query), last))[::-1]
    lines = ([row[name] for name in COLUMNS] for row in map(_row, found))
    listing.write(output, COLUMNS, lines, "No record of the audit log meets these conditions.")


@group.command()
def show(number: Annotated[int, typer.Argument(metavar="NUMBER", min=1)], json: Json = False) -> None:
    """Show one record in full.

    Example: sealgate audit show 17
    """
    with audit_log() as log_:
        entry = log_.entry(number)
    if json:
        listing.json_object(exported(entry))
        return
    record = entry.record
    personal = {name: entry.values[name].value if name in entry.values else "(deleted)" for name in record.commitments
                if name not in {"actor", "object"}}
    listing.sheet({
        "number": record.number, "at": f"{record.at:%Y-%m-%dT%H:%M:%S.%fZ}", "act": record.act,
        "meaning": ACTS[record.act].sentence if record.act in ACTS else "", "actor": entry.actor,
        "actor is a": record.actor_kind, "credential": record.credential, "object": entry.object_id,
        "object is a": record.object_kind, "result": record.result, "reason": record.reason, **personal,
        **record.details})


@group.command()
def export(
    after: Annotated[int, typer.Option("--after", metavar="NUMBER", min=0,
                                       help="only records after this one")] = 0,
) -> None:
    """Write all records as JSON lines, the oldest first. docs/audit.md describes the format.

    Example: sealgate audit export --after 1200 >> audit.jsonl
    """
    with audit_log() as log_:
        for entry in log_.all_after(after):
            print(json_text.dumps(exported(entry), ensure_ascii=False, sort_keys=True, separators=(",", ":")))


@group.command()
def head(
    verifier: Annotated[bool, typer.Option("--verifier-key",
                                           help="print the public key instead, as C2SP programs read it")] = False,
) -> None:
    """Print the head of the log: origin, number of records, root, and the signature by `audit.key`.

    Keep it in a place that the administrators of this database cannot change. `sealgate audit verify --head` compares.

    Example: sealgate audit head > audit-head-2026-11-24.txt
    """
    settings = context.settings()
    if verifier:
        with reporting_errors():
            print(HeadSigner(settings).key.verifier)
        return
    if context.is_child():
        jobs.log_as_child(settings)
    with audit_log() as log_:
        found, note = take_head(settings, log_)
    if context.is_child():
        log.info("audit.head", size=found.size, root=found.root.hex(), note=note)
        return
    print(note, end="")
    if settings.audit.key is None:
        say("sealgate: the head is not signed. Set `audit.key` (docs/audit.md)")


@group.command()
def verify(
    heads: Annotated[list[Path] | None, typer.Option(
        "--head", metavar="FILE", help="a head that was kept in another place; may be repeated")] = None,
    json: Json = False,
) -> None:
    """Verify all records, and compare them with the heads of the database and of files. Exit 1 if one was changed.

    Example: sealgate audit verify --head audit-head-2026-11-24.txt
    """
    settings = context.settings()
    notes = [read_head(path) for path in heads or ()]
    with audit_log() as log_:
        by = signer(settings)
        found = composition_verify(log_, None if by is None else by.key, notes)
    if json:
        listing.json_object({"good": not found.problems, "size": found.head.size, "root": found.head.root.hex(),
                             "heads": found.heads, "problems": found.problems, "notes": found.notes})
    else:
        for line in (*found.problems, *found.notes):
            print(line)
        print(f"{found.head.size} records, compared with {found.heads} heads: "
              f"{'CHANGED' if found.problems else 'unchanged'}")
    if not found.heads:
        say("sealgate: there was no head to compare with, so a change by an administrator of the database is not "
            "found. Set `audit.key`, and keep heads in another place (docs/audit.md)")
    if found.problems:
        raise typer.Exit(BAD)


@contextmanager
def audit_log() -> Iterator[AuditLog]:
    """The audit log of the settings' database."""
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            yield store.audit
        finally:
            store.close()


def _query(actor: str, act: str, object_: str, client: str, result: str, since: str, until: str) -> AuditQuery:
    if act and not any(name == act or name.startswith(f"{act}.") for name in ACTS):
        fail(f"--act {act!r} does not exist. It is one of: {', '.join(ACTS)}", USAGE)
    if result and result not in _RESULTS:
        fail(f"--result must be one of: {', '.join(_RESULTS)}", USAGE)
    return AuditQuery(actor, act, object_, client, result, past(since, "--since") if since else None,
                      past(until, "--until") if until else None)


def _row(entry: AuditEntry) -> dict[str, object]:
    record = entry.record
    source = entry.values["source"].value if "source" in entry.values else record.credential
    return {"number": record.number, "at": record.at, "actor": entry.actor, "from": source, "act": record.act,
            "object": entry.object_id, "result": record.result, "reason": record.reason}
