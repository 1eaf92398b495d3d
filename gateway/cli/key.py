"""`sealgate key`: the bank's own keys, in files that only their owner can read and on PKCS#11 tokens."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway import app as composition
from gateway.app.audit.recorded import recorded
from gateway.cli import context, listing, secret
from gateway.cli.context import BAD, USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.model.audit.acts import Act

group = typer.Typer(no_args_is_help=True, help="Keys of the bank, in files and on tokens.")
Directory = Annotated[
    Path | None,
    typer.Option("--directory", metavar="DIR", help="directory to write to; default: keys/ beside the settings"),
]
Protect = Annotated[
    Path | None,
    typer.Option(
        "--protect-with", metavar="FILE", help="encrypt the written key with the passphrase in this file (0600)"
    ),
]
Purpose = Literal["sign", "decrypt"]
Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the key set: letters, digits, . - _")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="key")


@group.command("import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM or DER PKCS#8, or PKCS#12 with old or new ciphers")],
    certificate: Annotated[Path | None, typer.Option("--certificate", metavar="FILE",
                                                     help="its certificate, if FILE does not contain it")] = None,
    passphrase: Annotated[bool, typer.Option("--passphrase",
                                             help="ask for the passphrase, or read it from standard input")] = False,
    directory: Directory = None,
    protect_with: Protect = None,
) -> None:
    """Import a key into NAME.key.pem (mode 0600), NAME.crt.pem, NAME.chain.pem; prints the lines for the settings.

    Example: sealgate key import otp otp.p12 --passphrase
    """
    settings = context.settings()
    asked = secret.asked(f"passphrase of {file}").encode() if passphrase else None
    office, target = composition.office(settings), directory or _default()
    with reporting_errors():
        octets = office.read_file(file)  # once: what is approved and recorded is what is imported
        beside = None if certificate is None else office.read_file(certificate)
    facts: dict[str, str | int | bool] = {"file": str(file), "sha256": sha256(octets).hexdigest(),
                                          "directory": str(target.absolute())}
    if beside is not None:
        facts["certificate_sha256"] = sha256(beside).hexdigest()
    with reporting_errors(), recorded(settings, Act("key.import", name, facts)):
        written, purposes = office.import_key(
            octets, name, target, passphrase=asked, certificates=beside, protect_with=protect_with)
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
        say("sealgate: the certificate allows several purposes. Choose one of them in the lines above")


@group.command()
def generate(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="name of the files; not with --token")] = None,
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="rsa-3072|4096, p-256|384|521; in files ed25519, x25519 too")
    ] = "rsa-3072",
    email: Annotated[
        list[str] | None, typer.Option("--email", metavar="ADDRESS",
                                       help="mail address for the request; may be repeated")
    ] = None,
    subject: Annotated[
        str, typer.Option("--subject", metavar="NAME", help="subject for the request, such as CN=Codes,O=Bank,C=DE")
    ] = "",
    purpose: Annotated[
        Purpose | None, typer.Option("--purpose", help="key usage to request; on a token also the permitted usage")
    ] = None,
    csr: Annotated[
        Path | None, typer.Option("--csr", metavar="FILE",
                                  help="file for the request; default on a token: standard output")
    ] = None,
    directory: Directory = None,
    protect_with: Protect = None,
    token: Annotated[str, typer.Option("--token", metavar="TOKEN",
                                       help="generate it on this token of the settings")] = "",
    label: Annotated[str, typer.Option("--object", metavar="LABEL", help="with --token: the key's label on it")] = "",
) -> None:
    """Generate a key and the certificate request for your CA.

    In files: NAME.key.pem (mode 0600) and NAME.csr.pem. On a token, the key never leaves it. The default is RSA-3072;
    weaker keys are rejected.

    Example: sealgate key generate otp --email otp@bank.example
    Example: sealgate key generate --token hsm --object otp-2027 --email otp@bank.example --csr otp-2027.csr.pem
    """
    settings = context.settings()
    office, emails = composition.office(settings), tuple(email or ())
    if bool(token) is not bool(label) or bool(token) is bool(name):
        fail("Give NAME for a key in a file, or --token and --object for one on a token", USAGE)
    if token:
        if directory is not None or protect_with is not None:
            fail("--directory and --protect-with are for keys in files. Remove them: a token has a PIN", USAGE)
        act = Act("key.generate", label, {"algorithm": algorithm, "token": token, "purpose": purpose or "sign"},
                  _named(emails, subject))
        with reporting_errors(), recorded(settings, act):
            pem = office.generate_on_token(
                token, label, algorithm, emails=emails, subject=subject, use=purpose or "sign", request=csr
            )
        print(csr if csr is not None else pem.decode("ascii"), end="\n" if csr is not None else "")
        return
    assert name is not None  # noqa: S101 - see above
    act = Act("key.generate", name, {
        "algorithm": algorithm, "directory": str((directory or _default()).absolute()), "purpose": purpose or "",
        "encrypted": protect_with is not None}, _named(emails, subject))
    with reporting_errors(), recorded(settings, act):
        written = office.generate_key(
            name, algorithm, directory or _default(), emails=emails, subject=subject, use=purpose, request=csr,
            protect_with=protect_with,
        )
    print(written.key)
    if written.request is not None:
        print(written.request)


@group.command()
def rollover(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of a key set in the settings")],
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", help="default: that of the current key, or rsa-3072 if it is weaker")
    ] = None,
    json: Json = False,
) -> None:
    """Generate the next key of a key set beside the current one, and its certificate request.

    Prints the lines for the settings and overwrites nothing. Once you have the certificate, add the lines and reload.
    The new key signs from the time at which its certificate becomes valid. The old key stays in the settings and
    decrypts old mail.

    Example: sealgate key rollover otp
    """
    settings = context.settings()
    with reporting_errors(), recorded(settings, Act("key.rollover", name, {"algorithm": algorithm or ""})):
        made = composition.office(settings).roll_over(name, algorithm)
    if json:
        listing.json_object(
            {"place": made.place, "algorithm": made.algorithm, "request": str(made.request),
             "certificate": str(made.certificate), "lines": list(made.lines)}
        )
        return
    say(f"sealgate: generated {made.algorithm} key {made.place}")
    say(f"sealgate: send {made.request} to your CA and store its certificate as {made.certificate};")
    say(f"sealgate: then add these lines to the key set `{name}` and reload:")
    print(*made.lines, sep="\n")


@group.command("list")
def list_(
    token: Annotated[
        str, typer.Option("--token", metavar="TOKEN", help="list all keys on this token")
    ] = "",
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """Load and list all keys of the settings in all generations: usage now, expiry, problems.

    Exit 1 if there is a problem.

    Example: sealgate key list
    Example: sealgate key list --token hsm
    """
    form = output_of(output, json=json)
    settings = context.settings()
    office = composition.office(settings)
    if token:
        with reporting_errors():
            objects = office.token_objects(token)
        listing.write(form, ("object", "id", "kind", "may"),
                      [(label, f"id:{own}", kind, may) for label, own, kind, may in objects],
                      "The token has no object.")
        return
    with reporting_errors():
        keys = office.keys()
    rows = [
        (
            entry.key_id,
            entry.purpose,
            entry.use,
            entry.algorithm,
            entry.place,
            entry.subject,
            entry.not_before,
            entry.not_after,
            entry.trouble,
        )
        for entry in keys
    ]
    listing.write(form, ("key", "purpose", "use", "kind", "place", "certificate", "from", "until", "trouble"), rows,
                  "The settings have no key.")
    if any(row[-1] for row in rows):
        raise typer.Exit(BAD)


def _named(emails: tuple[str, ...], subject: str) -> dict[str, str]:
    """Whom the certificate request names: personal facts of the act."""
    return {name: text for name, text in (("emails", " ".join(emails)), ("subject", subject)) if text}


def _default() -> Path:
    return context.config_path().absolute().parent / "keys"
