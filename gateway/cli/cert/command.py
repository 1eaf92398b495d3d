"""`sealgate cert`: certificates of customers and issuers in the store."""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import app as composition
from gateway.cli import context, listing, secret
from gateway.cli.context import BAD, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, certificate_row, count_lines, output_of, why
from gateway.clock import SystemClock
from gateway.cms.algorithms import FEW_READ
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.model.lookup import (
    KeyOrigin,
)
from gateway.model.sentences import SENTENCES
from gateway.ports.administration import ANCHOR_PURPOSES, AnchorPurpose, CertificateEntry, Kept, Trouble

Fingerprint = Annotated[str, typer.Argument(metavar="SHA256", help="fingerprint, or its unique first characters")]

Profile = Literal["cbc", "gcm"]

_WORDS = {"refused": "rejected"}  # where the word for people differs from the stored one

group = typer.Typer(no_args_is_help=True, help="Certificates of customers and issuers: import, look up, trust, export.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    from gateway.cli.cert import find as cert_find
    from gateway.cli.cert import unknown as cert_unknown
    from gateway.cli.cert import zone as cert_zone

    cert_find.register(group)
    cert_unknown.register(group)
    cert_zone.register(group)
    app.add_typer(group, name="cert")


@group.command("import")
def import_(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="PEM, DER, P7B or PKCS#12")] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="import many; columns: file, customer, key_origin, device_bound, profile, passphrase_file",
        ),
    ] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="NUMBER", help="bind it to this customer")
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", metavar="FILE",
                                  help="password of PKCS#12 files; without it the command asks")
    ] = None,
    key_origin: Annotated[KeyOrigin, typer.Option("--key-origin", help="who generated its private key")] = "unknown",
    device_bound: Annotated[bool, typer.Option("--device-bound", help="its key cannot leave the device")] = False,
    profile: Annotated[Profile | None, typer.Option("--profile",
                                                    help="encryption that the holder's program supports")] = None,
    json: Json = False,
) -> None:
    """Add certificates to the store. Issuer certificates complete paths, but are not trust anchors.

    Weak certificates are rejected; expired ones are stored and reported. Exit 1 if one was rejected.

    Example: sealgate cert import --customer 1001 anna.p12
    """
    if bool(files) == bool(csv):
        fail("Name files with certificates or use --csv FILE, not both: `sealgate cert import anna.pem`", context.USAGE)
    settings = context.settings()
    with reporting_errors():
        office, store = composition.office(settings), composition.open_store(settings)
        try:
            if csv is not None:
                answers: Iterable[Kept | Trouble] = office.certificates_from_csv(store.certificates, csv)
                answers = listing.followed(answers, "certificates", count_lines(csv))
            else:
                paths = tuple(files or ())
                needed = passphrase_file is None and any(path.suffix.lower() in {".p12", ".pfx"} for path in paths)
                answers = office.certificates_from_files(
                    store.certificates,
                    paths,
                    passphrase_file=passphrase_file,
                    passphrase=secret.asked("password of the PKCS#12").encode() if needed else None,
                    customer=customer,
                    key_origin=key_origin,
                    device_bound=device_bound,
                    profile=profile,
                )
            refused = _tell(answers, json=json, every=csv is None)
        finally:
            store.close()
    if refused:
        raise typer.Exit(BAD)


def _tell(answers: Iterable[Kept | Trouble], *, json: bool, every: bool) -> int:
    """Prints each answer (of a bulk import only the rejected), and the totals. Returns how many were rejected."""
    counts = {"added": 0, "bound": 0, "known": 0, "refused": 0}
    reports = _report_each(answers, counts)
    if json:
        listing.json_array(reports)
    else:
        for one in reports:
            if every and "sha256" in one:
                listing.table((), [(one["change"], one["sha256"], one["addresses"], one["customer"])])
    say(", ".join(f"{count} {_WORDS.get(change, change)}" for change, count in counts.items() if count)
        or "The input has no certificate.")
    return counts["refused"]


def _report_each(answers: Iterable[Kept | Trouble], counts: dict[str, int]) -> Iterator[dict[str, object]]:
    """Refusals and doubts to standard error; all of them for JSON."""
    for answer in answers:
        if isinstance(answer, Trouble):
            counts["refused"] += 1
            say(f"sealgate: {listing.shown(answer.where)}: rejected: {why(answer)}")
            yield {"change": "refused", "where": answer.where, "reason": answer.reason, "detail": answer.detail}
            continue
        counts[answer.change] += 1
        for note in answer.notes:
            say(f"sealgate: {answer.row.sha256[:16]}: {answer.change}, but {note}: {SENTENCES[note].what}")
        warning = FEW_READ.get(parse_certificate(answer.row.der).key_algorithm) if answer.change != "known" else None
        if warning is not None:
            say(f"sealgate: {answer.row.sha256[:16]}: {answer.change}, but {warning}. Ask for a certificate with "
                "an RSA or P-256 key")
        yield {"change": answer.change, "notes": answer.notes, **certificate_row(answer.row)}


@group.command("list")
def list_(
    address: Annotated[str | None, typer.Option("--address", metavar="ADDRESS",
                                                help="only those that contain this address")] = None,
    customer: Annotated[str | None, typer.Option("--customer", metavar="NUMBER",
                                                 help="only those bound to this customer")] = None,
    ends_within: Annotated[
        int | None, typer.Option("--ends-within", metavar="DAYS",
                                 help="only those that expire within this many days, or have expired")
    ] = None,
    issuers: Annotated[bool | None, typer.Option("--issuers/--people", help="only issuers, or only holders")] = None,
    output: OutputOption = Output.TABLE,
    json: Json = False,
) -> None:
    """List certificates: fingerprint, subject, addresses, customer, expiry, trust.

    Example: sealgate cert list --ends-within 30
    """
    settings = context.settings()
    before = None if ends_within is None else SystemClock().now() + timedelta(days=ends_within)
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            found = store.certificates.list(address=address, customer=customer, ends_before=before, issuers=issuers)
            form = output_of(output, json=json)
            lines = ((entry.row.sha256[:16], entry.subject, entry.row.addresses, entry.row.customer,
                      entry.row.not_after, _trust(entry)) for entry in found)
            listing.write(form, ("SHA-256", "subject", "addresses", "customer", "until", "trust"), lines,
                          "No certificate meets these conditions.", map(_entry, found))
        finally:
            store.close()


@group.command()
def show(sha256: Fingerprint, json: Json = False) -> None:
    """Show all details of one certificate.

    Example: sealgate cert show 3fa94c
    """
    entry = _get(sha256)
    values = _entry(entry) | _certificate(parse_certificate(entry.row.der))
    if json:
        listing.json_object(values)
    else:
        listing.sheet(values)


@group.command()
def trust(
    sha256: Fingerprint,
    for_: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PURPOSE", help=f"of an issuer: {', '.join(ANCHOR_PURPOSES)}; may be repeated"),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="remove the decision: the path to a root decides")] = False,
) -> None:
    """Trust a certificate without a path to a root. Validity, usage and address are still checked.

    A running gateway uses holders' certificates at once, and issuers after its next start.

    Example: sealgate cert trust 3fa94c --for recipients
    """
    purposes = [known for known in ANCHOR_PURPOSES if known in (for_ or ())]
    if forget and for_:
        fail("--for and --forget cannot be used together. Use one of the two", context.USAGE)
    if len(purposes) < len(set(for_ or ())):
        fail(f"--for must be one of: {', '.join(ANCHOR_PURPOSES)}", context.USAGE)
    _set_trust(sha256, None if forget else "trusted", purposes)


@group.command()
def distrust(sha256: Fingerprint) -> None:
    """Distrust a certificate: it is never used for encryption; certificates below a distrusted issuer are rejected.

    The relay applies it within a second, its HTTP service and its jobs after their next reload.

    Example: sealgate cert distrust 3fa94c
    """
    _set_trust(sha256, "distrusted", [])


def _set_trust(sha256: str, word: Literal["trusted", "distrusted"] | None, purposes: list[AnchorPurpose]) -> None:
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            entry = store.certificates.set_trust(sha256, word, purposes)
        finally:
            store.close()
    say(f"{entry.row.sha256}: {_trust(entry) or 'the path to a root decides'} ({listing.shown(entry.subject)})")


@group.command()
def export(
    sha256: Annotated[list[str], typer.Argument(metavar="SHA256",
                                                help="fingerprints, or their unique first characters")],
    der: Annotated[bool, typer.Option("--der", help="one certificate as DER instead of PEM")] = False,
) -> None:
    """Write certificates to standard output as PEM.

    Example: sealgate cert export 3fa94c > anna.crt.pem
    """
    if der and (len(sha256) > 1 or sys.stdout.isatty()):
        fail("--der writes exactly one certificate. Name one, and redirect the output to a file", context.USAGE)
    for entry in [_get(one) for one in sha256]:
        encoding = Encoding.DER if der else Encoding.PEM
        sys.stdout.buffer.write(parse_certificate(entry.row.der).x509.public_bytes(encoding))
    sys.stdout.buffer.flush()


def _get(sha256: str) -> CertificateEntry:
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            return store.certificates.get(sha256)
        finally:
            store.close()


def _trust(entry: CertificateEntry) -> str:
    purposes = f" for {', '.join(entry.trust_for)}" if entry.trust_for else ""
    return f"{entry.row.trust}{purposes}" if entry.row.trust else ""


def _entry(entry: CertificateEntry) -> dict[str, object]:
    return {
        "subject": entry.subject,
        **certificate_row(entry.row),
        "issuer_certificate": entry.is_issuer,
        "trust_for": list(entry.trust_for),
    }


def _certificate(certificate: Certificate) -> dict[str, object]:
    now: datetime = SystemClock().now()
    return {
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "key": certificate.key_algorithm,
        "signed_with": certificate.signature_algorithm,
        "usage": sorted(certificate.key_usage or ()),
        "extended_usage": sorted(certificate.extended_key_usage or ()),
        "valid_now": certificate.not_before <= now <= certificate.not_after,
    }
