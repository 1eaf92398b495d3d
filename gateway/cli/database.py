"""`sealgate database`: beside `sealgate init` the only command that changes a database's tables."""

import json as json_text

import typer

from gateway.app import database as composition
from gateway.cli import context
from gateway.cli.context import reporting_errors
from gateway.cli.listing import Json

group = typer.Typer(no_args_is_help=True, help="The database of the settings: identity and version.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="database")


@group.command()
def upgrade() -> None:
    """Upgrade the database to the version of this program. Make a backup with the old program first.

    Example: sealgate database upgrade
    """
    settings = context.settings()
    with reporting_errors():
        changed = composition.upgrade(settings)
    print("the tables are up to date now" if changed else "the tables were up to date")


@group.command()
def adopt() -> None:
    """Record the id of the existing database: on a further node, or after restoring a file or disk manually.

    Example: sealgate database adopt
    """
    settings = context.settings()
    with reporting_errors():
        identity = composition.adopt(settings)
    print(f"{settings.database_id} records {identity}")


@group.command()
def status(*, json: Json = False) -> None:
    """Show the expected database, the existing one, and whether Sealgate can use it.

    Example: sealgate database status
    """
    settings = context.settings()
    with reporting_errors():
        found = composition.status(settings)
    trouble = None if found.trouble is None else context.explained(found.trouble)
    if json:
        print(json_text.dumps({"name": found.name, "version": found.version, "id": found.identity,
                               "recorded": found.recorded, "usable": trouble is None, "trouble": trouble}))
    else:
        print(f"database  {found.name}\nversion   {found.version or '-'}\nid        {found.identity or '-'}\n"
              f"recorded  {found.recorded or '-'} ({settings.database_id})\nusable    {'no' if trouble else 'yes'}")
        if trouble:
            context.say(trouble)
    if found.trouble is not None:
        raise typer.Exit(context.exit_code(found.trouble))
