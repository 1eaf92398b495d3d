"""Where certificates of recipients are looked up besides the store: LDAP directories, DNS (SMIMEA), HTTP services."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import ENCRYPT, Finding, Section, networks, on_loopback, travels_safely, web_url

STORE = "store"  # the name of the store among the sources


class SourceSettings(Section):
    """What all kinds have. If a source does not answer in time, the lookup is Unavailable and the mail is deferred."""

    name: str
    domains: tuple[str, ...] = Field((), description="recipient domains to look up in it; () = all")
    deadline_s: float = Field(5.0, gt=0, le=60, description="for the whole answer")
    positive_s: float = Field(3600.0, ge=0, description="how long found certificates are cached")
    negative_s: float = Field(300.0, ge=0, description="how long the absence of a certificate is cached")
    stale_s: float = Field(
        86_400.0, ge=0, description="cached certificates are used this much longer while it is unavailable; "
                                    "absence never")
    failures_max: int = Field(
        3, ge=1, description="circuit breaker: after this many failures in a row no query for pause_s")
    pause_s: float = Field(30.0, gt=0)
    in_flight_max: int = Field(4, ge=1, description="queries at once")


class LdapSourceSettings(SourceSettings):
    """A directory by LDAP."""

    kind: Literal["ldap"]
    url: str = Field(description="ldaps://host", examples=["ldaps://directory.partner.example"])
    starttls: bool = Field(False, description="with ldap://, start TLS before the first query")
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    base: str = Field(description="where the search begins", examples=["dc=partner,dc=example"])
    filter: str = Field("(mail={address})", description="{address} is replaced by the escaped address")
    bind_dn: str = Field("", description="'' = anonymous")
    password_file: Path | None = Field(None, description="first line is the password; mode 0600")


class SmimeaSourceSettings(SourceSettings):
    """SMIMEA records in DNS (RFC 8162)."""

    kind: Literal["smimea"]
    resolver: str = Field("127.0.0.1", description="a validating resolver, on loopback")
    port: int = Field(53, ge=1, le=65535, description="port of the resolver")


class HttpSourceSettings(SourceSettings):
    """A service over HTTP."""

    kind: Literal["http"]
    url: str = Field(description="template with {address}, {local} or {domain}",
                     examples=["https://keys.example/?mail={address}"])
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    username: str = Field("", description="for HTTP Basic")
    password_file: Path | None = Field(None, description="first line is the password; mode 0600")
    networks: tuple[str, ...] = Field((), description="private networks that its address may be in")


Source = Annotated[LdapSourceSettings | SmimeaSourceSettings | HttpSourceSettings, Field(discriminator="kind")]


class Lookups(Section):
    """Which sources are asked, in which order; rules with `certificates: enrolled` ask the store alone."""

    any: tuple[str, ...] = Field((), description="() = the store, then all sources in their order")


def check(sources: Sequence[Source], lookups: Lookups) -> Iterator[Finding]:
    """Contradictions in these sections."""
    for number, source in enumerate(sources):
        at: strictyaml.Path = ("sources", number)
        match source:
            case LdapSourceSettings():
                yield from _ldap(at, source)
            case HttpSourceSettings():
                yield from networks((*at, "networks"), source.networks)
                yield from _http(at, source)
            case SmimeaSourceSettings():
                yield from _smimea(at, source)
    known = [STORE, *(source.name for source in sources)]
    for number, name in enumerate(lookups.any):
        if name not in known:
            yield ("lookups", "any", number), f"`sources` has no source `{name}`", (
                strictyaml.nearest(name, known) or "add it to `sources`, or name one that is there")
        elif name in lookups.any[:number]:
            yield ("lookups", "any", number), f"`{name}` is in the list twice", "remove one of the two"


_PLACES = re.compile(r"\{[a-z]+\}")  # {address} and so on in a template


def _ldap(at: strictyaml.Path, source: LdapSourceSettings) -> Iterator[Finding]:
    if not source.url.startswith(("ldap://", "ldaps://")):
        yield (*at, "url"), f"`{source.url}` is not a valid LDAP URL", (
            "write a URL such as ldaps://directory.partner.example")
    for one in source.url.split():  # libldap takes several
        yield from web_url((*at, "url"), one)
    if source.starttls and source.url.startswith("ldaps://"):
        yield (*at, "starttls"), "`starttls` is for ldap:// URLs; an ldaps:// URL always uses TLS", "remove `starttls`"
    plain = [one for one in source.url.split() if one.startswith("ldap://") and not travels_safely(one)]
    if plain and not source.starttls:
        yield (*at, "url"), f"`{source.url}` is not encrypted: an attacker on the network could hide certificates", (
            "write starttls: true, or use an ldaps:// URL")
    if not source.base:
        yield (*at, "base"), "`base` is empty: the entry at which the search begins", (
            "write it, such as base: dc=partner,dc=example")
    if "{address}" not in source.filter:
        yield (*at, "filter"), "the filter does not contain {address}", "write a filter such as (mail={address})"
    if not source.filter.startswith("(") or source.filter.count("(") != source.filter.count(")"):  # RFC 4515 3
        yield (*at, "filter"), f"`{source.filter}` is not a valid LDAP filter: parentheses are missing", (
            "write a filter such as (mail={address})")
    if source.password_file is not None and not source.bind_dn:
        yield (*at, "password_file"), "`password_file` is set without `bind_dn`", (
            "set `bind_dn` to the name that the password belongs to")
    if source.bind_dn and source.password_file is None:  # RFC 4513 5.1.2: the server takes it for anonymous
        yield (*at, "bind_dn"), "`bind_dn` is set without `password_file`", (
            "set `password_file`, or remove `bind_dn` to bind anonymously")


def _http(at: strictyaml.Path, source: HttpSourceSettings) -> Iterator[Finding]:
    if not source.url.startswith(("https://", "http://")):
        yield (*at, "url"), f"`{source.url}` is not a valid HTTP URL", (
            "write a URL such as https://keys.example/?mail={address}")
    else:
        yield from web_url((*at, "url"), _PLACES.sub("x", source.url))
    if source.url.startswith("http://") and not travels_safely(source.url):
        yield (*at, "url"), f"`{source.url}` is not encrypted: an attacker on the network could hide certificates", (
            ENCRYPT)
    if not any(word in source.url for word in ("{address}", "{local}")):
        yield (*at, "url"), "the URL contains neither {address} nor {local}", (
            "put {address} where the service expects the address")
    if bool(source.username) is not (source.password_file is not None):
        yield at, "`username` and `password_file` must be set together", "set both, or neither"


def _smimea(at: strictyaml.Path, source: SmimeaSourceSettings) -> Iterator[Finding]:
    if not on_loopback(source.resolver):
        yield (*at, "resolver"), f"the resolver `{source.resolver}` is not on loopback", (
            "its DNSSEC result is only safe on this machine: use a validating resolver on 127.0.0.1")
