"""`sealgate check`: the bank's own keys and certificates: readable, until when, and with which algorithms."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gateway import app as composition
from gateway.actions.escrow import unusable
from gateway.app.expiry import Ending, ends
from gateway.clock import SystemClock
from gateway.cms import strength
from gateway.cms.algorithms import FEW_READ
from gateway.cms.certificate import Certificate, load_certificates
from gateway.errors import GatewayError, Reason, file_error
from gateway.model.finding import Finding
from gateway.settings import InternalStamperSettings, Settings
from gateway.setup.authorities import TEST_CA

_WHAT_THEY_ARE: Final = {"key that signs": "key set", "key that opens mail": "key set", "key that stamps": "stamper",
                         "published encryption certificate": "key set", "escrow": "escrow"}


def certificates(settings: Settings) -> Iterator[Finding]:
    """Checks the bank's certificate files: that each holds one, and until when its algorithms are accepted."""
    now = SystemClock().now()
    for name, path in own_certificates(settings):
        try:
            certificate = load_certificates(path.read_bytes())[0]
        except OSError as trouble:
            yield Finding("error", name, file_error(path, trouble))
        except GatewayError as trouble:
            yield Finding("error", name, f"{path}: {trouble.detail}; see `sealgate inspect {path}`")
        else:
            yield from of_algorithms(name, path, certificate, now)
            if f"CN={TEST_CA}" in certificate.issuer:
                request = path.with_name(path.name.replace(".crt.", ".csr."))
                yield Finding("warning", name, f"{path} is a test certificate, which no other mail program trusts. "
                              f"Replace it with the certificate that your CA issues for {request}")
            if name.startswith(("escrow ", "archive")):
                yield from _of_use(name, path, certificate, now)


def _of_use(name: str, path: Path, certificate: Certificate, now: datetime) -> Iterator[Finding]:
    """Whether mail can be encrypted to it. `expiry` reports that it has expired."""
    reason = unusable(certificate, now)
    if reason is not None and reason is not Reason.CERTIFICATE_EXPIRED:
        yield Finding("error", name, f"{path}: the certificate cannot be used for encryption ({reason}), so mail that "
                      f"needs it is deferred; set one for encryption, see `sealgate inspect {path}`")


def own_certificates(settings: Settings) -> Iterator[tuple[str, Path]]:
    """What each is for, and its file."""
    for key in settings.keys:
        for generation in (key, *key.generations):
            yield f"key set {key.name}", generation.certificate
        if key.encryption_certificate is not None:
            yield f"key set {key.name}", key.encryption_certificate
    for stamper in settings.stampers:
        if isinstance(stamper, InternalStamperSettings):
            yield f"stamper {stamper.name}", stamper.certificate
    for escrow in settings.escrow:
        yield f"escrow {escrow.name}", escrow.certificate
    if settings.hold.archive_certificate is not None:
        yield "archive", settings.hold.archive_certificate


def of_algorithms(name: str, path: Path, certificate: Certificate, now: datetime) -> Iterator[Finding]:
    """What partners refuse already, what they will by the gateway's own table, and what few programs read."""
    if (readers := FEW_READ.get(certificate.key_algorithm)) is not None:
        yield Finding("warning", name, f"{path}: its key is {certificate.key_algorithm}: {readers}; use an RSA-3072 or "
                      "P-256 key unless all partners support it")
    asked: tuple[tuple[strength.Kind, str, str], ...] = (
        ("key", certificate.key_algorithm, "its key"),
        ("certificate", certificate.signature_algorithm, "its issuer's signature"))
    for kind, algorithm, what in asked:
        line = strength.term(kind, algorithm)
        use = line.use if line is not None else "an RSA-3072 or P-256 key"
        if strength.allowed(kind, algorithm, now) is not None:
            yield Finding("error", name, f"{path}: {what} ({algorithm}) is not accepted by any recipient; use {use}")
        elif (ending := strength.warned(kind, algorithm, now)) is not None and ending.until is not None:
            remedy = "`sealgate key rollover` generates the next key" if name.startswith("key set") else (
                "renew the certificate with such a key")
            yield Finding("warning", name, f"{path}: {what} ({algorithm}) is accepted until "
                          f"{ending.until:%Y-%m-%d} and no longer recommended; use {use}: {remedy}")


def keys(settings: Settings) -> Iterator[Finding]:
    """Every private key of the settings: it exists, opens, fits its certificate, and no other user may read it."""
    entries = composition.office(settings).keys()
    for entry in entries:
        if entry.trouble:
            yield Finding("error", f"key {entry.key_id}", entry.trouble)


def tokens(settings: Settings) -> Iterator[Finding]:
    """Every PKCS#11 token answers to its PIN."""
    office = composition.office(settings)
    for token in settings.tokens:
        try:
            found = office.token_objects(token.name)
        except GatewayError as trouble:
            yield Finding("error", f"token {token.name}", trouble.detail)
        else:
            yield Finding("ok", f"token {token.name}", f"{len(found)} keys") if found else Finding(
                "warning", f"token {token.name}",
                    "the token has no keys; `sealgate key generate --token` generates one")


def expiry(settings: Settings) -> Iterator[Finding]:
    """When the bank's certificates expire: one that expires on a weekend stops the mail on a weekend."""
    now = SystemClock().now()
    within = timedelta(days=settings.reports.expiry_days)
    store = composition.open_store(settings)
    try:
        found = ends(settings, store, now)
    finally:
        store.close()
    roots = [one for one in found if one.what.startswith("root for ")]
    for one in found:
        if one not in roots:
            yield _own_end(one, now, within)
    yield from _root_ends(roots, now, within)


def _own_end(one: Ending, now: datetime, within: timedelta) -> Finding:
    kind = _WHAT_THEY_ARE.get(one.what)
    about = "archive" if one.what.startswith("archive") else f"{kind or one.what} {one.name}"
    remedy = "run `sealgate key rollover`" if kind == "key set" else "request a new certificate"
    if now >= one.not_after:
        return Finding("error", about, f"{one.what}: expired on {one.not_after:%Y-%m-%d}; {remedy}")
    if one.not_after - now < within:
        return Finding("warning", about, f"{one.what}: expires on {one.not_after:%Y-%m-%d}, in "
                       f"{(one.not_after - now).days} days; {remedy} now")
    return Finding("ok", about, f"{one.what}: valid until {one.not_after:%Y-%m-%d}")


def _root_ends(roots: list[Ending], now: datetime, within: timedelta) -> Iterator[Finding]:
    for one in roots:
        if now >= one.not_after:
            yield Finding("warning", "trust",
                          f"{one.what} {one.name} expired on {one.not_after:%Y-%m-%d}: certificates "
                          "below it are not trusted; replace it by its successor")
        elif one.not_after - now < within:
            yield Finding("warning", "trust", f"{one.what} {one.name} expires on {one.not_after:%Y-%m-%d}, in "
                          f"{(one.not_after - now).days} days; add its successor now")
