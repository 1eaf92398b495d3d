"""`sealgate audit requests`, `approve`, `decline`, `four-eyes`: acts that need a second person."""

from functools import partial
from typing import Annotated, Final

import typer

from gateway import app as composition
from gateway.app.audit.four_eyes import stored
from gateway.cli import context, listing
from gateway.cli.context import reporting_errors, say
from gateway.cli.listing import Output, OutputOption

COLUMNS: Final = ("number", "at", "until", "requester", "act", "object", "state", "approver", "sha256", "details")
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="as `sealgate audit requests` prints it")]


def register(group: typer.Typer) -> None:
    """Adds the commands to `sealgate audit`."""
    group.command()(requests)
    group.command()(approve)
    group.command()(decline)
    group.command("four-eyes")(four_eyes)


def requests(output: OutputOption = Output.TABLE) -> None:
    """List requests for a second person's approval, the newest last.

    Example: sealgate audit requests
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            with store.database.read() as connection:
                every = store.database.second_person.requests(connection)
        finally:
            store.close()
    listing.write(output, COLUMNS, ((
        one.number, one.at, one.expires_at, one.requester, one.act, one.object_id, one.state, one.approver, one.digest,
        " ".join(f"{name}={value}" for name, value in one.details.items())) for one in every),
        "There is no request.")


def approve(number: Number) -> None:
    """Approve the act of another person. They run their command again within 24 h.

    Example: sealgate audit approve 3
    """
    _decide(number, is_approved=True)
    say(f"request {number}: approved")


def decline(number: Number) -> None:
    """Decline the act of another person, or withdraw your own request.

    Example: sealgate audit decline 3
    """
    _decide(number, is_approved=False)
    say(f"request {number}: declined")


def four_eyes() -> None:
    """Put `four_eyes` and `persons` of the settings in force. Demanding less needs another person's approval.

    Example: sealgate audit four-eyes
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            is_changed = store.database.change_rule(store.database.second_person.apply)
            rule = stored(store.database)
        finally:
            store.close()
    print(rule.text)
    say("sealgate: the rule was changed" if is_changed else "sealgate: this rule was in force already")


def _decide(number: int, *, is_approved: bool) -> None:
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            decide = partial(store.database.second_person.decide, approve=is_approved)
            store.database.change_rule(lambda connection, actor, at: decide(connection, number, actor, at))
        finally:
            store.close()
