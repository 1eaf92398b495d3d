"""`sealgate key`: the bank's own keys, as files that only their owner can read."""

from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition
from gateway.cli import context, listing, secret
from gateway.cli.context import BAD, say, told
from gateway.cli.listing import Json
from gateway.clock import SystemClock

group = typer.Typer(no_args_is_help=True, help="Keys of the bank: import, generate, list. No secret is an argument.")
Directory = Annotated[
    Path | None,
    typer.Option("--directory", metavar="DIR", help="where to write; default: keys/ beside the configuration"),
]
Protect = Annotated[
    Path | None,
    typer.Option(
        "--protect-with", metavar="FILE", help="encrypt the written key with the passphrase in this file (0600)"
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="of the key set: letters, digits, . - _")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="key")


@group.command("import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM or DER PKCS#8, or PKCS#12 with old or new ciphers")],
    certificate: Annotated[Path | None, typer.Option("--certificate", metavar="FILE", help="if not in FILE")] = None,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="ask for it, or read standard input")] = False,
    directory: Directory = None,
    protect_with: Protect = None,
) -> None:
    """Take over a key: NAME.key.pem (mode 0600), NAME.crt.pem, NAME.chain.pem; prints the lines for the settings.

    Example: sealgate key import otp otp.p12 --passphrase
    """
    settings = context.settings()
    asked = secret.asked(f"passphrase of {file}").encode() if passphrase else None
    with told():
        written, purposes = composition.office(settings).import_key(
            file, name, directory or _default(), passphrase=asked, certificates=certificate, protect_with=protect_with
        )
    stamper = purposes == ("stamp",)
    lines = [f"  - name: {name}", f"    key: {written.key}"]
    lines.append(
        "    policy_oid: (of your own arc)" if stamper else f"    purpose: {' | '.join(purposes) or '(none yet)'}"
    )
    if protect_with is not None:
        lines.append(f"    passphrase_file: {protect_with}")
    lines.append(f"    certificate: {written.certificate or '(none yet)'}")
    if written.chain is not None:
        lines.append(f"    chain: {written.chain}")
    print("stampers:" if stamper else "keys:", *lines, sep="\n")
    if len(purposes) > 1:
        say("sealgate: the certificate allows several purposes; a key has one here: choose")


@group.command()
def generate(
    name: Name,
    algorithm: Annotated[str, typer.Option("--algorithm", help="rsa-2048|3072|4096, p-256|384|521, ed25519, x25519")],
    email: Annotated[
        list[str] | None, typer.Option("--email", metavar="ADDRESS", help="for the request; may be repeated")
    ] = None,
    directory: Directory = None,
    protect_with: Protect = None,
) -> None:
    """Make a key and the request for its certificate: NAME.key.pem (mode 0600), NAME.csr.pem for your CA.

    Example: sealgate key generate otp --algorithm rsa-3072 --email otp@bank.example
    """
    settings = context.settings()
    with told():
        written = composition.office(settings).generate_key(
            name, algorithm, directory or _default(), emails=tuple(email or ()), protect_with=protect_with
        )
    print(written.key)
    if written.request is not None:
        print(written.request)


@group.command("list")
def list_(json: Json = False) -> None:
    """List the keys of the settings, each loaded: kind, certificate, its end, what is wrong. Exit 1 if any is.

    Example: sealgate key list
    """
    settings = context.settings()
    with told():
        keys = composition.office(settings).keys()
    now = SystemClock().now()
    expired = {entry.key_id for entry in keys if entry.not_after is not None and entry.not_after < now}
    rows = [
        (
            entry.key_id,
            entry.purpose,
            entry.algorithm,
            entry.subject,
            entry.not_after,
            entry.trouble or ("certificate expired" if entry.key_id in expired else ""),
        )
        for entry in keys
    ]
    columns = ("key", "purpose", "kind", "certificate", "until", "trouble")
    if json:
        listing.json_array(
            dict(zip(columns, row, strict=True)) | {"path": str(entry.path)}
            for row, entry in zip(rows, keys, strict=True)
        )
    else:
        listing.table(columns, rows)
    if any(row[-1] for row in rows):
        raise typer.Exit(BAD)


def _default() -> Path:
    return context.config_path().absolute().parent / "keys"
