"""`sealgate mails`: the last mails, found by who, when and what happened to them."""

import csv
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from gateway import app as composition
from gateway.app.operation.tracing import mail_list
from gateway.cli import context, listing
from gateway.cli.context import reporting_errors
from gateway.cli.listing import Output, OutputOption, shown
from gateway.cli.operation.conditions import one_of, reason_or_family
from gateway.cli.times import FORMS, past
from gateway.model.mail_query import MailQuery
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord

COLUMNS: Final = ("at", "id", "direction", "client", "from", "to", "outcome", "reason", "rule")
LAST_MAX: Final = 10_000
POLL_S: Final = 1.0
_DIRECTIONS: Final = ("outbound", "inbound", "internal")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(mails)


def mails(
    last: Annotated[int, typer.Option("--last", min=1, max=LAST_MAX, help="show at most so many")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="go on with new mails until Ctrl-C")] = False,
    address: Annotated[str, typer.Option("--address", help="sender or recipient, or @domain")] = "",
    client: Annotated[str, typer.Option("--client", metavar="NAME", help="a client of the settings")] = "",
    direction: Annotated[str, typer.Option("--direction", help="outbound, inbound or internal")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="taken, held, served, reported, discarded, refused or "
                                         "later")] = "",
    reason: Annotated[str, typer.Option("--reason", help="such as certificate.expired, or its first part")] = "",
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="the rule that decided")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help=FORMS)] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="not this time and later")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List mails, the newest last: a line for each recipient. `sealgate trace ID` shows one mail in full.

    Example: sealgate mails --address anna@customer.example --since 1d
    """
    one_of("--direction", direction, _DIRECTIONS)
    one_of("--outcome", outcome, tuple(Settled))
    reason_or_family(reason)
    query = MailQuery(address, client, direction, outcome, reason, rule,
                      since=past(since, "--since") if since else None,
                      until=past(until, "--until") if until else None)
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = mail_list(store)
            following = found.follow(query) if follow else None
            listing.write(output, COLUMNS, map(_line, found.latest(query, last)), "No mail meets these conditions.")
            while following is not None:
                for record in following.new():
                    _print(output, _line(record))
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            return
        finally:
            store.close()


def _line(record: EvidenceRecord) -> tuple[object, ...]:
    return (record.at, record.incident, record.direction, record.client, record.sender or "<>", record.recipient,
            record.settled, record.reasons, record.rule)


def _print(output: Output, line: Sequence[object]) -> None:
    """One more line of a list that goes on."""
    if output is Output.JSON:
        listing.json_object(dict(zip(COLUMNS, line, strict=True)))
    elif output is Output.CSV:
        csv.writer(sys.stdout, lineterminator="\n").writerow(map(shown, line))
    else:
        print(*map(shown, line), sep="\t")
    sys.stdout.flush()
