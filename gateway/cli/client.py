"""`sealgate client`: passwords of the bank's systems that log in (SMTP AUTH, only under TLS), and tokens of those that
ask over HTTP.
"""

import secrets
from typing import Annotated

import typer

from gateway import app as composition
from gateway.app.audit.recorded import recorded
from gateway.app.tokens import client_token, end_former_token
from gateway.cli import context, listing, secret
from gateway.cli.context import USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.model.audit.acts import Act

group = typer.Typer(
    no_args_is_help=True, help="Logins of clients, in the argon2 file that `passwords` of the settings names."
)
Name = Annotated[str, typer.Argument(metavar="LOGIN", help="as in `logins` of a client in the settings")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="client")


@group.command()
def add(
    name: Name,
    generate: Annotated[bool, typer.Option("--generate", help="generate a password and print it once")] = False,
) -> None:
    """Add a login, or change its password. The command asks for the password, or reads it from standard input.

    Example: sealgate client add online-banking --generate
    """
    settings = context.settings()
    password = secrets.token_urlsafe(24) if generate else secret.asked(f"password of {name}", twice=True)
    with reporting_errors(), recorded(settings, Act("client.login", name)):
        new = composition.office(settings).add_client(name, password)
    if generate:
        print(password)
    say(f"{name}: {'added' if new else 'password changed'}")
    if name not in {login for client in settings.clients for login in client.logins}:
        say(f"sealgate: no client of the settings has `{name}` in its `logins`, so it has no effect. Add it there")


@group.command()
def token(
    name: Annotated[str, typer.Argument(metavar="CLIENT", help="as in `clients` of the settings")],
    keep: Annotated[bool, typer.Option("--keep", help="the present token stays valid, until --end-former")] = False,
    end_former: Annotated[bool, typer.Option("--end-former", help="generate none; end the token before the newest"
                                             )] = False,
) -> None:
    """Generate a client's token for `api` and print it once. `token_file` stores its SHA-256; the old token expires.

    To change it without an interruption: --keep, reload, change the client, --end-former, reload.

    Example: sealgate client token online-banking

    Example: sealgate client token online-banking --keep
    """
    settings = context.settings()
    if end_former:
        if keep:
            fail("use --keep or --end-former, not both", USAGE)
        with reporting_errors(), recorded(settings, Act("client.token", name, {"former_ended": True})):
            ended = end_former_token(settings, name)
        say(f"sealgate: client {name}: the former token ends with the next `sealgate reload`" if ended else
            f"sealgate: client {name} has no former token")
        return
    with reporting_errors(), recorded(settings, Act("client.token", name, {"former_kept": keep})):
        made = client_token(settings, name, keep=keep)
    print(made)
    say(f"sealgate: client {name} has a new token. Run `sealgate reload` to activate it")
    if not next(one for one in settings.clients if one.name == name).scopes:
        say(f"sealgate: client {name} has no `scopes` in the settings, so the token has no effect. Add them and reload")


@group.command("list")
def list_(output: OutputOption = Output.TABLE, json: Json = False) -> None:
    """List clients of the settings: logins, networks, From addresses, scopes; whether password and token are set.

    Example: sealgate client list
    """
    settings = context.settings()
    with reporting_errors():
        there = dict(composition.office(settings).logins())
    rows: list[dict[str, object]] = [
        {
            "client": one.name,
            "networks": list(one.networks),
            "tls_certificates": list(one.tls_certificates),
            "from": list(one.from_addresses),
            "logins": {login: there[login] for login in one.logins},
            "scopes": list(one.scopes),
            "token": one.token_file is not None and one.token_file.exists(),
        }
        for one in settings.clients
    ]
    owned = {login for one in settings.clients for login in one.logins}
    rows += [
        {"client": None, "networks": [], "tls_certificates": [], "from": [], "logins": {login: True}, "scopes": [],
         "token": False}
        for login in there
        if login not in owned
    ]
    listing.write(
        output_of(output, json=json),
        ("client", "logins", "networks", "TLS certificates", "from", "over HTTP"),
        [
            (
                row["client"] or "(none)",
                _logins(there, row["logins"]),
                row["networks"],
                row["tls_certificates"],
                row["from"],
                _asks(row["scopes"], token=bool(row["token"]), certificates=bool(row["tls_certificates"])),
            )
            for row in rows
        ],
        "The settings have no client.",
        rows,
    )


def _asks(scopes: object, *, token: bool, certificates: bool) -> list[str]:
    """What it may ask for over HTTP, and whether it could show who it is."""
    names = list(scopes) if isinstance(scopes, list) else []
    return [*names, "(no token)"] if names and not token and not certificates else names


def _logins(there: dict[str, bool], logins: object) -> list[str]:
    names = logins if isinstance(logins, dict) else {}
    return [name if there[name] else f"{name} (no password)" for name in names]


@group.command()
def remove(name: Name) -> None:
    """Remove a login from the password file.

    Example: sealgate client remove online-banking
    """
    settings = context.settings()
    with reporting_errors(), recorded(settings, Act("client.logout", name)):
        composition.office(settings).remove_client(name)
    say(f"{name}: removed")
