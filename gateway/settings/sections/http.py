"""The HTTP service: the time-stamping authority for others, certificates for partners."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, fingerprints, names, on_loopback
from gateway.settings.sections.stampers import Stamper


class Partner(Section):
    """A system that may request customers' certificates. Identified by its token or its TLS certificate."""

    name: str
    token_file: Path | None = Field(None, description="SHA-256 of its token, as `sealgate http token` writes it")
    tls_certificates: tuple[str, ...] = Field((), description="SHA-256 fingerprints, hex")


class Http(Section):
    """A separate process, with only the keys that it needs."""

    host: str = "127.0.0.1"
    port: int = Field(8025, ge=0, le=65535)
    certificate: Path | None = Field(None, description="PEM, with its chain; None = no TLS")
    key: Path | None = Field(None, description="PEM, mode 0600")
    client_ca: Path | None = Field(None, description="PEM: TLS client certificates from here identify partners")
    tsa: str = Field("", description="a stamper of kind internal that is served at /tsa; '' = none")
    partners: tuple[Partner, ...] = ()
    requests_per_minute_max: int = Field(600, ge=0, description="per client; 0 = no limit")


def check(http: Http | None, stampers: Sequence[Stamper]) -> Iterator[Finding]:
    """Contradictions in the section."""
    if http is None:
        return
    at: strictyaml.Path = ("http",)
    internal = [stamper.name for stamper in stampers if stamper.kind == "internal"]
    if http.tsa and http.tsa not in internal:
        yield (*at, "tsa"), f"`stampers` has no internal stamper `{http.tsa}`", (
            strictyaml.nearest(http.tsa, internal) or "add it to `stampers` with kind: internal")
    if (http.certificate is None) is not (http.key is None):
        yield at, "`certificate` and `key` must be set together", "set both, or neither"
    if http.client_ca is not None and http.certificate is None:
        yield (*at, "client_ca"), "`client_ca` needs TLS", "set `certificate` and `key`"
    if not on_loopback(http.host) and http.certificate is None:
        yield (*at, "host"), f"{http.host} without TLS would send tokens unencrypted", (
            "set `certificate` and `key`, or write host: 127.0.0.1")
    yield from _partners(http.partners)


def _partners(partners: Sequence[Partner]) -> Iterator[Finding]:
    for (kind, number, name), what, remedy in names("partners", [partner.name for partner in partners]):
        yield ("http", kind, number, name), what, remedy
    for number, partner in enumerate(partners):
        at: strictyaml.Path = ("http", "partners", number)
        yield from fingerprints((*at, "tls_certificates"), partner.tls_certificates)
        if partner.token_file is None and not partner.tls_certificates:
            yield at, f"partner `{partner.name}` cannot be identified", (
                "set token_file or tls_certificates for it")
