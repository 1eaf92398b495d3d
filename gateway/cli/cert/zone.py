"""`sealgate cert zone`: the bank's own encryption certificates as SMIMEA lines for its DNS zone (RFC 8162)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from gateway.app.keys import one_certificate
from gateway.cli import context, listing
from gateway.cli.context import BAD, reporting_errors, say
from gateway.cli.listing import Json
from gateway.clock import SystemClock
from gateway.cms.certificate import Certificate
from gateway.model.address import fold
from gateway.model.mailbox import in_domains
from gateway.model.smimea import owner_names, record
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Line:
    """One certificate at one name. `ttl_s`: how long others may keep it."""

    address: str
    owner: str
    ttl_s: int
    certificate: Certificate

    @property
    def text(self) -> str:
        """In the form of a zone file."""
        return f"{self.owner} {self.ttl_s} IN SMIMEA {record(self.certificate.der)}"


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(zone)


def zone(
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="ADDRESS",
                                         help="addresses of the bank; default: all in its certificates")
    ] = None,
    ttl: Annotated[int, typer.Option("--ttl", metavar="SECONDS", min=0, max=604_800)] = 3600,
    json: Json = False,
) -> None:
    """Write the bank's encryption certificates as SMIMEA records for its DNS zone, which must be signed (DNSSEC).

    These are the certificates of key sets that decrypt, and `encryption_certificate` of those that sign, in all
    generations that have not expired. Exit 1 if an ADDRESS has none.

    Example: sealgate cert zone support@bank.example >> bank.example.zone
    """
    settings = context.settings()
    with reporting_errors():
        certificates = tuple(_published(settings, SystemClock().now()))
    names = tuple(addresses or ()) or tuple(_addresses(certificates, settings))
    missing = [address for address in names if not _naming(address, certificates)]
    lines = [
        Line(address, owner, ttl, certificate)
        for address in names
        for certificate in _naming(address, certificates)
        for owner in owner_names(address)
    ]
    if json:
        listing.json_array(map(_json, lines))
    else:
        for line in lines:
            until = f"{line.certificate.not_after:%Y-%m-%d}"
            print(f"; {listing.shown(line.address)} sha256 {line.certificate.sha256} until {until}\n{line.text}")
    for address in missing:
        say(f"sealgate: no certificate of the bank that is for encryption and has not ended names {address}")
    if not names:
        say("sealgate: no key set has an encryption certificate that names an address of the bank and has not ended")
    if missing or not lines:
        raise typer.Exit(BAD)


def _published(settings: Settings, now: datetime) -> Iterator[Certificate]:
    """Coming ones too: senders who find both encrypt to both, so that a rollover waits for no cache."""
    paths = [
        path
        for key in settings.keys
        for path in (
            (key.encryption_certificate,)
            if key.purpose == "sign"
            else (key.certificate, *(one.certificate for one in key.generations))
        )
        if path is not None
    ]
    for certificate in dict.fromkeys(map(one_certificate, dict.fromkeys(paths))):
        if now <= certificate.not_after:
            yield certificate


def _addresses(certificates: Iterable[Certificate], settings: Settings) -> Iterator[str]:
    """Each address of the bank that they name, once, as it is written there."""
    found = {fold(email): email for one in certificates for email in one.emails
             if in_domains(email, settings.bank.domains)}
    return iter(found.values())


def _naming(address: str, certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Those that a sender will find to be for this address."""
    return tuple(one for one in certificates if fold(address) in set(map(fold, one.emails)))


def _json(line: Line) -> dict[str, object]:
    return {
        "address": line.address,
        "owner": line.owner,
        "ttl_s": line.ttl_s,
        "sha256": line.certificate.sha256,
        "not_after": line.certificate.not_after,
        "record": record(line.certificate.der),
    }
