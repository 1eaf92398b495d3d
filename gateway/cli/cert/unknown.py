"""`sealgate cert unknown`: authorities that mail has shown and no operator has decided on, and how to decide."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.context import fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.pki.trust import TrustSet
from gateway.ports.authorities import UnknownAuthority


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(unknown)


def unknown(
    ignore: Annotated[
        str | None, typer.Option("--ignore", metavar="SHA256", help="do not report this authority again")
    ] = None,
    ignored: Annotated[bool, typer.Option("--ignored", help="list the ignored authorities")] = False,
    export: Annotated[
        str | None, typer.Option("--export", metavar="SHA256", help="write its certificate as PEM to standard output")
    ] = None,
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """List unknown authorities of signers, with the command that trusts each.

    Before trusting one, compare its fingerprint with the one that its publisher states outside of mail.

    Example: sealgate cert unknown
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            if ignore is not None:
                one = store.authorities.ignore(ignore, SystemClock().now())
                say(f"{one.key}: ignored from now on ({listing.shown(one.subject)})")
                return
            if export is not None:
                _export(store.authorities.get(export))
                return
            trust = composition.load_trust(settings, store)
            found = store.authorities.list(ignored=ignored)
        finally:
            store.close()
    _list([one for one in found if not _decided(one, trust)],
          output_of(output, json=json))


def _export(one: UnknownAuthority) -> None:
    if one.der is None:
        fail(f"{one.key}: no mail contained its certificate. Download it from the authority", context.BAD)
    sys.stdout.write(parse_certificate(one.der).x509.public_bytes(Encoding.PEM).decode())


def _decided(one: UnknownAuthority, trust: TrustSet) -> bool:
    """Trusted or distrusted since it was met. One of which only the name is known: an anchor has that name now."""
    if one.der is None:
        return any(anchor.certificate.subject == one.subject for anchor in trust.signers)
    return one.key in trust.distrusted or any(anchor.certificate.sha256 == one.key for anchor in trust.signers)


def _list(found: Sequence[UnknownAuthority], output: Output) -> None:
    listing.write(output, ("last seen", "times", "authority", "issued by", "example", "SHA-256", "to trust it"), (
        (one.last_at, one.count, one.subject, one.issuer or "not in the mail", one.example,
         one.key[:16], _trust_with(one)) for one in found), "No unknown authority was met.",
        ({**_as_json(one), "trust_with": _trust_with(one)} for one in found))
    if found and output is not Output.JSON:
        say("to omit one from reports: sealgate cert unknown --ignore SHA256")


def _as_json(one: UnknownAuthority) -> dict[str, Any]:
    return {"sha256": one.key, "subject": one.subject, "issuer": one.issuer, "certificate_known": one.der is not None,
            "example": one.example, "first_at": one.first_at, "last_at": one.last_at, "count": one.count,
            "told_at": one.reported_at}


def _trust_with(one: UnknownAuthority) -> str:
    if one.der is None:
        return "sealgate cert import FILE-FROM-ITS-PUBLISHER && sealgate cert trust SHA256 --for signers"
    return (f"sealgate cert unknown --export {one.key[:16]} > ca.pem && sealgate cert import ca.pem && "
            f"sealgate cert trust {one.key[:16]} --for signers")
