"""Time-stamping services (RFC 3161): part of the gateway (`internal`), or external ones over HTTP (`http`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gateway import strictyaml
from gateway.settings.base import ENCRYPT, Finding, Section, is_oid, travels_safely, web_url
from gateway.settings.sections.keys import KeyPlace, Token, check_place


class InternalStamperSettings(KeyPlace):
    """A service that is part of the gateway. The key is P-256; its certificate is only for timeStamping."""

    name: str
    kind: Literal["internal"] = "internal"
    chain: Path | None = None
    policy_oid: str = Field(description="an OID of the bank", examples=["1.3.6.1.4.1.99999.1.1"])
    accuracy_ms: int = Field(1000, ge=1)
    clock_check: Literal["kernel", "none"] = "kernel"


class HttpStamperSettings(Section):
    """An external service."""

    name: str
    kind: Literal["http"]
    url: str = Field(description="requests are sent to it by POST", examples=["https://tsa.example/tsr"])
    policy_oid: str = Field("", description="the policy to request, '' = the service's default")
    username: str = Field("", description="for HTTP Basic")
    password_file: Path | None = Field(None, description="first line is the password; mode 0600")
    client_certificate: Path | None = Field(None, description="PEM, for TLS client authentication")
    client_key: Path | None = Field(None, description="PEM, mode 0600")
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    networks: tuple[str, ...] = Field((), description="private networks that its address may be in")
    deadline_s: float = Field(5.0, gt=0, le=60, description="for the whole round trip")
    in_flight_max: int = Field(4, ge=1, description="requests at once; further ones fail at once")


def _kind(value: Any) -> Any:
    """The kind of a stamper, of the file or as a value; without one it is internal."""
    return value.get("kind", "internal") if isinstance(value, dict) else getattr(value, "kind", None)


Stamper = Annotated[
    Annotated[InternalStamperSettings, Tag("internal")] | Annotated[HttpStamperSettings, Tag("http")],
    Discriminator(_kind)]


def check(stampers: Sequence[Stamper], tokens: Sequence[Token]) -> Iterator[Finding]:
    """Contradictions in the section."""
    known = [token.name for token in tokens]
    for number, stamper in enumerate(stampers):
        at: strictyaml.Path = ("stampers", number)
        if isinstance(stamper, InternalStamperSettings):
            yield from check_place(at, stamper, known)
        else:
            yield from _http(at, stamper)
        if not is_oid(stamper.policy_oid) and (stamper.kind == "internal" or stamper.policy_oid):
            yield (*at, "policy_oid"), f"`{stamper.policy_oid}` is not a valid object identifier (OID)", (
                "write numbers with dots, such as 1.3.6.1.4.1.99999.1.1 below the bank's own enterprise number")


def _http(at: strictyaml.Path, stamper: HttpStamperSettings) -> Iterator[Finding]:
    if not stamper.url.startswith(("https://", "http://")):
        yield (*at, "url"), f"`{stamper.url}` is not a valid HTTP URL", (
            "write the URL of the time-stamping service, such as https://tsa.example/tsr")
    else:
        yield from web_url((*at, "url"), stamper.url)
        if stamper.username and not travels_safely(stamper.url):
            yield (*at, "url"), f"`{stamper.url}` would send `username` and the password unencrypted", ENCRYPT
    if bool(stamper.username) is not (stamper.password_file is not None):
        yield at, "`username` and `password_file` must be set together", "set both, or neither"
    if (stamper.client_certificate is None) is not (stamper.client_key is None):
        yield at, "`client_certificate` and `client_key` must be set together", "set both, or neither"
