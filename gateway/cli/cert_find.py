"""`sealgate cert find`: which certificate wins for an address, and why the others lose."""

from typing import Annotated

import typer

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.context import BAD, say, told
from gateway.cli.listing import Json, certificate_row
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    Loser,
    Unavailable,
    Unusable,
)
from gateway.model.sentences import SENTENCES
from gateway.pki.select import Want, select


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(find)


def find(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="a recipient's mail address")],
    enrolled: Annotated[bool, typer.Option("--enrolled", help="as a rule with `certificates: enrolled` asks")] = False,
    json: Json = False,
) -> None:
    """Which certificates a mail to ADDRESS would be encrypted to, and why the others lose. Exit 1 if it cannot be.

    Example: sealgate cert find anna@customer.example
    """
    settings = context.settings()
    want: Want = "enrolled" if enrolled else "any"
    with told():
        store = composition.open_store(settings)
        try:
            trust = composition.load_trust(settings, store)
            rows = store.certificates.rows(address)
            answer: CertificateAnswer = select(rows, address, SystemClock().now(), trust, want)
        except GatewayError as trouble:
            if not trouble.retry:
                raise
            answer = Unavailable(trouble.detail)
        finally:
            store.close()
    if json:
        listing.json_object(_answer(address, answer))
    else:
        _explain(address, answer)
    if not isinstance(answer, Found):
        raise typer.Exit(context.TEMPORARY if isinstance(answer, Unavailable) else BAD)


def _answer(address: str, answer: CertificateAnswer) -> dict[str, object]:
    return {
        "address": address,
        "answer": type(answer).__name__.lower(),
        "enrolled": answer.enrolled if isinstance(answer, Found) else None,
        "wins": [certificate_row(row) for row in _winners(answer)],
        "loses": [{**certificate_row(loser.row), "reason": loser.reason} for loser in _losers(answer)],
        "owners": list(answer.owners) if isinstance(answer, Conflict) else [],
    }


def _explain(address: str, answer: CertificateAnswer) -> None:
    match answer:
        case Found():
            say(
                f"{address}: found, {'enrolled' if answer.enrolled else 'not enrolled'}: "
                f"encrypted to {len(answer.rows)} certificate{'s' if len(answer.rows) > 1 else ''}"
            )
        case Absent():
            say(f"{address}: {Reason.CERTIFICATE_ABSENT}: the store knows no certificate that names it")
        case Unusable():
            say(f"{address}: {Reason.CERTIFICATE_UNUSABLE}: {SENTENCES[Reason.CERTIFICATE_UNUSABLE].what}")
        case Conflict():
            say(
                f"{address}: {Reason.CERTIFICATE_CONFLICT}: usable certificates of different owners: "
                + listing.shown("; ".join(answer.owners))
            )
        case Unavailable():
            say(f"{address}: {Reason.CERTIFICATE_UNAVAILABLE}: {answer.detail}")
    rows = [
        ("wins", row.sha256[:16], _subject(row), row.customer, row.source, row.not_after, "")
        for row in _winners(answer)
    ]
    rows += [
        (
            "loses",
            loser.row.sha256[:16],
            _subject(loser.row),
            loser.row.customer,
            loser.row.source,
            loser.row.not_after,
            f"{loser.reason}: {SENTENCES[loser.reason].what}",
        )
        for loser in _losers(answer)
    ]
    listing.table(("", "SHA-256", "subject", "customer", "source", "until", "why"), rows)


def _winners(answer: CertificateAnswer) -> tuple[CertificateRow, ...]:
    return answer.rows if isinstance(answer, Found) else ()


def _losers(answer: CertificateAnswer) -> tuple[Loser, ...]:
    return answer.losers if isinstance(answer, Found | Unusable | Conflict) else ()


def _subject(row: CertificateRow) -> str:
    try:
        return parse_certificate(row.der).subject
    except GatewayError:
        return ""
