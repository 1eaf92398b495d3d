"""`sealgate legal-hold`: records that must not be deleted at any age."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.context import USAGE, fail, reporting_errors, say
from gateway.cli.listing import Output, OutputOption
from gateway.cli.times import FORMS, past
from gateway.model.address import is_mailbox
from gateway.model.legal_hold import HoldTerms
from gateway.ports.legal_holds import LegalHolds

COLUMNS: Final = ("number", "at", "person", "reason", "address", "customer", "message", "since", "until")

group = typer.Typer(no_args_is_help=True, help="Legal holds: records that must not be deleted at any age.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="legal-hold")


@group.command()
def add(
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why, such as the court's file number")],
    person: Annotated[str, typer.Option("--person", metavar="NAME", help="who ordered it")],
    address: Annotated[str, typer.Option("--address", metavar="ADDRESS", help="sender, recipient or actor")] = "",
    customer: Annotated[str, typer.Option("--customer", metavar="NUMBER", help="a customer's number")] = "",
    message: Annotated[str, typer.Option("--message", metavar="ID",
                                         help="a Message-ID, or the id of `trace`, of a code or of a run")] = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help=FORMS)] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="not this time and later")] = "",
) -> None:
    """Keep all records that meet every condition which is given. Prints the number of the hold.

    Example: sealgate legal-hold add --customer 10001 --reason "LG Köln 12 O 34/26" --person "Anna Weber, legal"
    """
    if address and not is_mailbox(address):
        fail(f"--address {address!r} is not a valid mail address. Write one such as anna@customer.example", USAGE)
    if not reason.strip() or not person.strip():
        fail("--reason and --person must not be empty", USAGE)
    terms = HoldTerms(address, customer, message, past(since, "--since") if since else None,
                      past(until, "--until") if until else None)
    if terms.since is not None and terms.until is not None and terms.since >= terms.until:
        fail("--since must be before --until", USAGE)
    with _holds() as holds:
        hold = holds.add(terms, person, reason)
    print(hold.number)
    if customer and not hold.addresses:
        say(f"sealgate: the register has no address of the customer {customer}: mail is found by `--address` only")


@group.command("list")
def list_(output: OutputOption = Output.TABLE) -> None:
    """List the legal holds in force, the latest last.

    Example: sealgate legal-hold list --output json
    """
    with _holds() as holds:
        found = holds.list()
    listing.write(output, COLUMNS, ((
        one.number, one.at, one.person, one.reason, one.terms.address, one.terms.customer, one.terms.message,
        one.terms.since, one.terms.until) for one in found), "There is no legal hold.")


@group.command()
def remove(number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="as `list` prints it")]) -> None:
    """Remove a legal hold. Records that are too old and not covered by another hold are deleted within an hour.

    Example: sealgate legal-hold remove 3
    """
    with _holds() as holds:
        holds.remove(number)
    say(f"sealgate: legal hold {number} was removed")


@contextmanager
def _holds() -> Iterator[LegalHolds]:
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            yield store.legal_holds
        finally:
            store.close()
