"""`sealgate customer`: the bank's customers as far as rules and judgement need them."""

from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.cert import Json, count_lines
from gateway.cli.context import BAD, fail, say, told
from gateway.model.lookup import Customer
from gateway.model.sentences import SENTENCES

group = typer.Typer(no_args_is_help=True, help="Customers: number, name, addresses, segment.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="customer")


@group.command("import")
def import_(
    csv: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV in UTF-8, comma or semicolon; columns: number, name, addresses (separated by blanks), segment",
        ),
    ],
    json: Json = False,
) -> None:
    """Add customers, or replace those with the same number. Exit 1 if a line was refused; the others are taken.

    Example: sealgate customer import customers.csv
    """
    settings = context.settings()
    taken = refused = 0
    with told():
        store = composition.open_store(settings)
        try:
            answers = composition.office(settings).customers_from_csv(store.customers, csv)
            for answer in listing.followed(answers, "customers", count_lines(csv)):
                if isinstance(answer, Customer):
                    taken += 1
                    continue
                refused += 1
                why = f"{SENTENCES[answer.reason].what} ({listing.shown(answer.detail)})"
                say(f"sealgate: {answer.where}: refused: {why}")
                if json:
                    listing.json_line({"where": answer.where, "reason": answer.reason, "detail": answer.detail})
        finally:
            store.close()
    say(f"{taken} taken, {refused} refused" if refused else f"{taken} taken")
    if refused:
        raise typer.Exit(BAD)


@group.command("list")
def list_(
    segment: Annotated[str | None, typer.Option("--segment", metavar="NAME", help="only of this segment")] = None,
    json: Json = False,
) -> None:
    """List customers: number, name, segment, addresses.

    Example: sealgate customer list --segment private
    """
    settings = context.settings()
    with told():
        store = composition.open_store(settings)
        try:
            found = store.customers.list(segment=segment)
            if json:
                for one in found:
                    listing.json_line(_customer(one))
            else:
                listing.table(
                    ("number", "name", "segment", "addresses"),
                    ((one.number, one.name, one.segment, one.addresses) for one in found),
                )
        finally:
            store.close()


@group.command()
def show(
    customer: Annotated[str, typer.Argument(metavar="NUMBER|ADDRESS", help="customer number or mail address")],
    json: Json = False,
) -> None:
    """One customer with the certificates that are bound to it.

    Example: sealgate customer show anna@customer.example
    """
    settings = context.settings()
    with told():
        store = composition.open_store(settings)
        try:
            found = store.customers.get(customer) or store.customers.by_address(customer)
            if found is None:
                fail(f"there is no customer {customer!r}", BAD)
            bound = list(store.certificates.list(customer=found.number))
        finally:
            store.close()
    certificates = [
        {
            "sha256": entry.row.sha256,
            "subject": entry.subject,
            "addresses": list(entry.row.addresses),
            "not_after": entry.row.not_after,
            "key_origin": entry.row.key_origin,
            "device_bound": entry.row.device_bound,
            "trust": entry.row.trust,
        }
        for entry in bound
    ]
    if json:
        listing.json_line({**_customer(found), "certificates": certificates})
        return
    listing.sheet(_customer(found))
    listing.table(
        ("SHA-256", "subject", "addresses", "until", "key", "device-bound", "trust"),
        [
            (
                entry.row.sha256[:16],
                entry.subject,
                entry.row.addresses,
                entry.row.not_after,
                entry.row.key_origin,
                entry.row.device_bound,
                entry.row.trust,
            )
            for entry in bound
        ],
    )


def _customer(one: Customer) -> dict[str, object]:
    return {"number": one.number, "name": one.name, "segment": one.segment, "addresses": list(one.addresses)}
