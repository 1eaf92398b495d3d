"""`sealgate otp`: one-time codes by hand, as the bank's systems have them over HTTP.

Neither a code nor what is paid is ever an argument: the list of processes is open to everybody. The transaction is
JSON in a file or on standard input, in the form of `POST /v1/codes`; the code is typed, or the first line of standard
input.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import app as composition
from gateway.app.codes.service import desk, load_codes
from gateway.app.services import event_sink
from gateway.cli import context, listing
from gateway.cli.context import BAD, REFUSED, USAGE, exit_code, explained, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.cli.secret import asked
from gateway.errors import GatewayError, file_error
from gateway.frontends.api.transactions import read_transaction
from gateway.frontends.telemetry.logs import configure
from gateway.model.sentences import SENTENCES
from gateway.services.codes.administration import Desk
from gateway.services.codes.issue_and_verify import Codes
from gateway.services.codes.order import Issued, Order
from gateway.services.codes.transaction import Transaction

TRANSACTION_OCTETS_MAX: Final = 1_048_576  # as api.body_octets_max

group = typer.Typer(
    no_args_is_help=True, help="One-time codes: send, verify, resend, cancel, show, list, block, unblock.")

Client = Annotated[str, typer.Option("--client", metavar="NAME",
                                     help="the client of the settings that orders the code")]
CodeId = Annotated[str, typer.Argument(metavar="ID", help="id of the code, as `sealgate otp send` prints it")]
Number = Annotated[str, typer.Argument(metavar="CUSTOMER", help="the customer's number")]
TransactionFile = Annotated[
    Path | None,
    typer.Option("--transaction", metavar="FILE", help="the transaction that the code approves: JSON as in POST "
                 "/v1/codes; `-` = standard input"),
]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="otp")


@group.command()
def send(
    customer: Number,
    client: Client,
    purpose: Annotated[str, typer.Option("--purpose", metavar="WORD", help="login, payment, …")] = "login",
    transaction: TransactionFile = None,
    digits: Annotated[int | None, typer.Option("--digits", help="number of digits, 6 to 10")] = None,
    life: Annotated[int | None, typer.Option("--life", metavar="SECONDS", help="validity in seconds")] = None,
    language: Annotated[str | None, typer.Option("--language", metavar="en|de|…")] = None,
    reference: Annotated[str, typer.Option("--reference", help="your own reference, at most 64 characters")] = "",
    json: Json = False,
) -> None:
    """Send a new code to all enrolled addresses of a customer. It replaces the previous code of the same purpose.

    Exit 69 if it cannot be sent encrypted, 75 if it cannot be sent now; in both cases there is no code.

    Example: sealgate otp send 10001 --client online-banking --purpose payment --transaction payment.json
    """
    with _codes(client) as codes:
        order = Order(customer, purpose, _read(transaction), digits, life, language, reference)
        _issued(codes.issue(client, order), json=json)


@group.command()
def verify(code_id: CodeId, client: Client, transaction: TransactionFile = None, json: Json = False) -> None:
    """Verify a code from the terminal or the first line of standard input. Exit 1 if it is not valid.

    Each attempt counts; a valid code can be used once.

    Example: sealgate otp verify 5f0c2b7a90de4f1c2b7a90de --client online-banking --transaction payment.json
    """
    with _codes(client) as codes:
        code = asked("code")
        found = codes.verify(client, code_id, code, _read(transaction))
    if json:
        listing.json_object(asdict(found))
    elif found.valid:
        print("valid")
    if found.reason is not None:
        sentence = SENTENCES[found.reason]
        say(f"sealgate: {found.reason}: {sentence.what} {sentence.admin} ({found.tries_left} tries left)")
        raise typer.Exit(BAD)


@group.command()
def resend(code_id: CodeId, client: Client, transaction: TransactionFile = None, json: Json = False) -> None:
    """Send the same code again while it is valid. Give the transaction again, because it is not stored.

    Example: sealgate otp resend 5f0c2b7a90de4f1c2b7a90de --client online-banking --transaction payment.json
    """
    with _codes(client) as codes:
        _issued(codes.resend(client, code_id, _read(transaction)), json=json)


@group.command()
def cancel(code_id: CodeId, client: Client, json: Json = False) -> None:
    """Cancel a code. A code that is no longer valid keeps its state.

    Example: sealgate otp cancel 5f0c2b7a90de4f1c2b7a90de --client online-banking
    """
    with _desk() as found:
        shown = asdict(found.cancel(client, code_id))
    listing.json_object(shown) if json else listing.sheet(shown)


@group.command()
def show(code_id: CodeId, json: Json = False) -> None:
    """Show the state of a code without its digits: when it was sent, its delivery status and replies.

    Example: sealgate otp show 5f0c2b7a90de4f1c2b7a90de
    """
    with _desk() as found:
        client, shown, mails = found.looked_at(code_id)
    if json:
        listing.json_object({"client": client, **asdict(shown), "mails": [asdict(one) for one in mails]})
        return
    listing.sheet({"client": client, **asdict(shown)})
    listing.table(("mail", "sent", "returned", "status", "diagnostic"),
                  [(one.number, one.at, one.bounced_at, one.bounced_status, one.diagnostic) for one in mails])


@group.command("list")
def list_(
    customer: Annotated[str | None, typer.Argument(metavar="[CUSTOMER]",
                                                   help="customer number; default: list blocked customers")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000,
                                       help="maximum number of codes, the newest first")] = 20,
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """List the codes of a customer without their digits; without a customer: the blocked customers.

    Example: sealgate otp list 10001
    """
    with _desk() as found:
        blocks = found.blocks(customer)
        rows = found.of_customer(customer, limit) if customer is not None else ()
    form = output_of(output, json=json)
    if customer is None:
        listing.write(form, ("customer", "blocked since", "by"), [(one.customer, one.at, one.by) for one in blocks],
                      "No customer is blocked.", map(asdict, blocks))
        return
    for block in blocks:
        say(f"sealgate: {block.customer} is blocked since {listing.shown(block.at)} by the {block.by}")
    listing.write(
        form, ("id", "client", "purpose", "state", "since", "until", "tries left", "reference"),
        [(one.id, client, one.purpose, one.state, one.created_at, one.expires_at, one.tries_left, one.reference)
         for client, one in rows],
        f"Customer {customer} has no codes.", ({"client": client, **asdict(one)} for client, one in rows))


@group.command()
def block(customer: Number) -> None:
    """Block all codes for this customer, for all clients. Valid codes become invalid at once.

    Example: sealgate otp block 10001
    """
    with _desk() as found:
        fresh = found.block(customer)
    say(f"{customer} is blocked" if fresh else f"{customer} was blocked already")


@group.command()
def unblock(customer: Number) -> None:
    """Allow codes for this customer again. Talk to the customer first. Exit 1 if the customer was not blocked.

    Example: sealgate otp unblock 10001
    """
    with _desk() as found:
        done = found.unblock(customer)
    if not done:
        fail(f"{customer} is not blocked", BAD)
    say(f"{customer} is no longer blocked")


@contextmanager
def _codes(client: str) -> Iterator[Codes]:
    """With keys and next hop. What the rules refuse ends with 69."""
    settings = context.settings()
    if client not in {one.name for one in settings.clients}:
        fail(f"the settings have no client {client!r}. `sealgate client list` shows all", USAGE)
    configure("error")
    with reporting_errors():
        gateway = composition.Gateway(settings, by_set_in_force=True)
        try:
            yield load_codes(settings, gateway, event_sink(settings, gateway.store))
        except GatewayError as trouble:
            if trouble.retry or trouble.reason.family not in ("certificate", "policy"):
                raise
            say(f"sealgate: {explained(trouble)}")
            raise typer.Exit(REFUSED) from None
        finally:
            gateway.close()


@contextmanager
def _desk() -> Iterator[Desk]:
    """With the database alone."""
    settings = context.settings()
    configure("error")
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            yield desk(settings, store, store.database, event_sink(settings, store))
        finally:
            store.close()


def _read(path: Path | None) -> Transaction | None:
    if path is None:
        return None
    if str(path) == "-":
        octets = sys.stdin.buffer.read(TRANSACTION_OCTETS_MAX + 1)
    else:
        try:
            with path.open("rb") as file:
                octets = file.read(TRANSACTION_OCTETS_MAX + 1)
        except OSError as error:
            fail(file_error(path, error), USAGE)
    if len(octets) > TRANSACTION_OCTETS_MAX:
        fail(f"{path}: more than {TRANSACTION_OCTETS_MAX} octets. Name a file with one transaction", USAGE)
    try:
        return read_transaction(octets)
    except GatewayError as trouble:
        fail(f"{path}: {trouble.detail}", exit_code(trouble) if trouble.retry else USAGE)


def _issued(issued: Issued, *, json: bool) -> None:
    if json:
        listing.json_object(asdict(issued))
    else:
        listing.sheet(asdict(issued))
