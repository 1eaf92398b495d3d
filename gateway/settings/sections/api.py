"""The interface for the bank's own systems: codes and statement runs over HTTP, in a process of its own."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, on_loopback


class Api(Section):
    """The `clients` that have `scopes` and a `token_file` or TLS certificates may use it."""

    host: str = "127.0.0.1"
    port: int = Field(8027, ge=0, le=65535)
    certificate: Path | None = Field(None, description="PEM, with its chain; None = no TLS")
    key: Path | None = Field(None, description="PEM, mode 0600")
    client_ca: Path | None = Field(None, description="PEM: TLS client certificates from here identify clients")
    requests_per_minute_max: int = Field(6000, ge=0, description="per client; 0 = no limit")
    body_octets_max: int = Field(1_048_576, ge=1024)


def check(api: Api | None) -> Iterator[Finding]:
    """Contradictions in the section."""
    if api is None:
        return
    at: strictyaml.Path = ("api",)
    if (api.certificate is None) is not (api.key is None):
        yield at, "`certificate` and `key` must be set together", "set both, or neither"
    if api.client_ca is not None and api.certificate is None:
        yield (*at, "client_ca"), "`client_ca` needs TLS", "set `certificate` and `key`"
    if not on_loopback(api.host) and api.certificate is None:
        yield (*at, "host"), f"{api.host} without TLS would send tokens unencrypted", (
            "set `certificate` and `key`, or write host: 127.0.0.1")
