"""`sealgate customer`: the bank's customers as far as rules and judgement need them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.context import BAD, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, count_lines, output_of, why
from gateway.model.lookup import Customer
from gateway.ports.administration import Trouble

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
            help="CSV in UTF-8 with comma, semicolon or tab; columns: number, name, addresses (separated by blanks), "
                 "segment",
        ),
    ],
    json: Json = False,
) -> None:
    """Add customers, or replace those with the same number. Exit 1 if a line was rejected; the others are imported.

    Example: sealgate customer import customers.csv
    """
    settings = context.settings()
    counts = {"imported": 0, "rejected": 0}
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            answers = composition.office(settings).customers_from_csv(store.customers, csv)
            refused = _refused(listing.followed(answers, "customers", count_lines(csv)), counts)
            if json:
                listing.json_array(refused)
            else:
                for _ in refused:
                    pass
        finally:
            store.close()
    say(", ".join(f"{count} {word}" for word, count in counts.items() if count) or "the file has no customers")
    if counts["rejected"]:
        raise typer.Exit(BAD)


def _refused(answers: Iterable[Customer | Trouble], counts: dict[str, int]) -> Iterator[dict[str, object]]:
    """Yields the rejected lines, and prints them to standard error; counts the others."""
    for answer in answers:
        if isinstance(answer, Customer):
            counts["imported"] += 1
            continue
        counts["rejected"] += 1
        say(f"sealgate: {listing.shown(answer.where)}: rejected: {why(answer)}")
        yield {"where": answer.where, "reason": answer.reason, "detail": answer.detail}


@group.command("list")
def list_(
    segment: Annotated[str | None, typer.Option("--segment", metavar="NAME",
                                                help="only customers of this segment")] = None,
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """List customers: number, name, segment, addresses.

    Example: sealgate customer list --segment private
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = store.customers.list(segment=segment)
            listing.write(output_of(output, json=json), ("number", "name", "segment", "addresses"),
                          ((one.number, one.name, one.segment, one.addresses) for one in found),
                          "There is no such customer." if segment else "There is no customer.", map(_customer, found))
        finally:
            store.close()


@group.command()
def show(
    customer: Annotated[str, typer.Argument(metavar="NUMBER|ADDRESS", help="customer number or mail address")],
    json: Json = False,
) -> None:
    """Show one customer with the certificates bound to it.

    Example: sealgate customer show anna@customer.example
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = store.customers.get(customer) or store.customers.by_address(customer)
            if found is None:
                fail(f"no customer has the number or address {customer!r}. `sealgate customer list` shows all", BAD)
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
        listing.json_object({**_customer(found), "certificates": certificates})
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
