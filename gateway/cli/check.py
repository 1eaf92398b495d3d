"""`sealgate check`: everything that would stop or weaken the gateway, each finding with its remedy."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console

from gateway import app as composition
from gateway.cli import context
from gateway.cli.context import BAD, USAGE, explained, say
from gateway.clock import SystemClock
from gateway.cms.certificate import load_certificates
from gateway.errors import GatewayError
from gateway.policy.cases import run as run_cases
from gateway.settings import NextHopSettings, Settings
from gateway.settings import load as load_settings

EXPIRY_WARNING: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: mail would stop or be refused. `warning`: soon, or weaker than it should be."""

    level: Literal["ok", "warning", "error"]
    about: str
    text: str


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(check)


def check(as_json: Annotated[bool, typer.Option("--json", help="a JSON array of findings")] = False) -> None:
    """Check configuration, policies, keys, certificates, next hops, stampers and the database.

    Example: sealgate --config /etc/sealgate/sealgate.yaml check
    """
    try:
        settings = load_settings(context.config_path())
    except GatewayError as trouble:
        say(explained(trouble))
        raise typer.Exit(USAGE) from None
    findings = list(_everything(settings))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        colours = {"ok": "green", "warning": "yellow", "error": "red"}
        console = Console(soft_wrap=True)
        for finding in findings:
            console.print(
                f"[{colours[finding.level]}]{finding.level:7}[/] [bold]{finding.about}[/bold]  {finding.text}",
                highlight=False,
            )
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(BAD)


def _everything(settings: Settings) -> Iterator[Finding]:
    """The parts one by one, so that all that is wrong is told; the whole is built only of good parts."""
    told: set[str] = set()  # a file that two parts need is one finding
    for look in (_policies, _certificates, _keys, _database_and_trust, _files):
        for finding in _looked(look, settings):
            if finding.level != "error":
                yield finding
            elif finding.text not in told:
                told.add(finding.text)
                yield finding
    if not told:
        yield from _looked(_gateway, settings)
    yield from _looked(_next_hops, settings)


def _looked(look: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from look(settings)
    except GatewayError as trouble:
        yield Finding("error", look.__name__.strip("_").replace("_", " "), explained(trouble))


def _policies(settings: Settings) -> Iterator[Finding]:
    rules = composition.load_rules(settings)
    ran = run_cases(rules)
    for result in ran.failed:
        yield Finding("error", "policies", f"a case of {result.rule} does not hold: `sealgate policy test` shows it")
    if not ran.failed:
        yield Finding(
            "ok", "policies", f"{len(rules.rules)} rules, {len(ran.results)} cases hold, digest {rules.digest[:16]}"
        )


def _certificates(settings: Settings) -> Iterator[Finding]:
    """Our own, by their end: a certificate that ends on a weekend stops the mail on a weekend."""
    now = SystemClock().now()
    for name, path in _own_certificates(settings):
        try:
            certificate = load_certificates(path.read_bytes())[0]
        except OSError as trouble:
            yield Finding("error", name, f"{path}: {trouble.strerror}")
            continue
        except GatewayError as trouble:
            yield Finding("error", name, f"{path}: {trouble.detail}; see `sealgate inspect {path}`")
            continue
        yield _validity(name, path, certificate.not_before, certificate.not_after, now)


def _own_certificates(settings: Settings) -> Iterator[tuple[str, Path]]:
    for key in settings.keys:
        yield f"key set {key.name}", key.certificate
    for stamper in settings.stampers:
        if stamper.certificate is not None:
            yield f"stamper {stamper.name}", stamper.certificate
    for escrow in settings.escrow:
        yield f"escrow {escrow.name}", escrow.certificate
    if settings.hold.archive_certificate is not None:
        yield "archive", settings.hold.archive_certificate


def _keys(settings: Settings) -> Iterator[Finding]:
    entries = composition.office(settings).keys()
    for entry in entries:
        if entry.trouble:
            yield Finding("error", f"key {entry.key_id}", entry.trouble)


def _database_and_trust(settings: Settings) -> Iterator[Finding]:
    store = composition.open_store(settings)
    try:
        trust = composition.load_trust(settings, store)
    finally:
        store.close()
    if not trust.recipients:
        yield Finding("warning", "trust", "no roots for recipients: no certificate can be used; set trust.recipients")
    if not trust.signers:
        yield Finding(
            "warning", "trust", "no roots for signers: every signature stays indeterminate; set trust.signers"
        )
    yield Finding("ok", "database", str(settings.database))


def _validity(name: str, path: Path, begins: datetime, ends: datetime, now: datetime) -> Finding:
    if now < begins:
        return Finding("error", name, f"{path} is valid only from {begins:%Y-%m-%d}")
    if now >= ends:
        return Finding("error", name, f"{path} expired on {ends:%Y-%m-%d}; get a new one and change the key set")
    if ends - now < EXPIRY_WARNING:
        return Finding("warning", name, f"{path} ends on {ends:%Y-%m-%d}, in {(ends - now).days} days; renew it now")
    return Finding("ok", name, f"valid until {ends:%Y-%m-%d}")


def _gateway(settings: Settings) -> Iterator[Finding]:
    """Built once, as `run` would: the house stands, the stampers stamp, the clock is believed."""
    gateway = composition.Gateway(settings, caught=composition.Caught())
    try:
        for name, stamper in gateway.house.stampers.items():
            try:
                stamper.stamp(bytes(32), "sha256")
            except GatewayError as trouble:
                yield Finding("error", f"stamper {name}", explained(trouble))
            else:
                yield Finding("ok", f"stamper {name}", "stamps")
    finally:
        gateway.close()
    for stamper_settings in settings.stampers:
        if stamper_settings.clock_check == "none":
            yield Finding(
                "warning",
                f"stamper {stamper_settings.name}",
                "clock_check: none stamps whatever the clock says; a bank says kernel",
            )


def _next_hops(settings: Settings) -> Iterator[Finding]:
    for name, hop in (("outbound", settings.next_hops.outbound), ("inbound", settings.next_hops.inbound)):
        yield _reached(name, hop)


def _reached(name: str, hop: NextHopSettings) -> Finding:
    about = f"next hop {name}"
    try:
        with socket.create_connection((hop.host, hop.port), timeout=hop.connect_timeout_s) as connection:
            greeting = connection.recv(512).decode("utf-8", "replace").strip()
    except OSError as trouble:
        return Finding(
            "error",
            about,
            f"{hop.host}:{hop.port}: {trouble.strerror or trouble}; mail would be deferred until it answers",
        )
    if not greeting.startswith("220"):
        return Finding(
            "error", about, f"{hop.host}:{hop.port} greets with {greeting!r}, which is no SMTP server ready for mail"
        )
    if hop.tls == "none" and not hop.host.startswith(("127.", "localhost", "::1")):
        return Finding(
            "warning", about, f"{hop.host}:{hop.port} without TLS: opened mail would travel in clear; set tls: require"
        )
    return Finding("ok", about, f"{hop.host}:{hop.port} {greeting[:60]}")


def _files(settings: Settings) -> Iterator[Finding]:
    """Who may read what others must not write."""
    for path in (context.config_path(), *settings.policies):
        if path.exists() and path.stat().st_mode & 0o022:
            yield Finding("warning", "files", f"{path} may be changed by others: chmod go-w {path}")
