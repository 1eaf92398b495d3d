"""Where certificates of recipients are looked up besides the store: LDAP directories, DNS (SMIMEA), HTTP services."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, networks, web_url

STORE = "store"  # the name of the store among the sources


class Source(Section):
    """One directory. If it does not answer in time, the lookup is Unavailable and the mail is deferred."""

    name: str
    kind: Literal["ldap", "smimea", "http"]
    domains: tuple[str, ...] = Field((), description="recipient domains to look up in it; () = all")
    url: str = Field("", description="ldap: ldaps://host; http: template with {address}, {local} or {domain}")
    starttls: bool = Field(False, description="ldap: with ldap://, start TLS before the first query")
    tls_ca: Path | None = Field(None, description="ldap, http: PEM of the roots; None = the system's")
    base: str = Field("", description="ldap: where the search begins")
    filter: str = Field("(mail={address})", description="ldap: {address} is replaced by the escaped address")
    bind_dn: str = Field("", description="ldap: '' = anonymous")
    username: str = Field("", description="http: for HTTP Basic")
    password_file: Path | None = Field(None, description="ldap, http: first line is the password; mode 0600")
    networks: tuple[str, ...] = Field((), description="http: private networks that its address may be in")
    resolver: str = Field("127.0.0.1", description="smimea: a validating resolver, on loopback")
    port: int = Field(53, ge=1, le=65535, description="smimea: port of the resolver")
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


class Lookups(Section):
    """Which sources are asked, in which order; rules with `certificates: enrolled` ask the store alone."""

    any: tuple[str, ...] = Field((), description="() = the store, then all sources in their order")


def check(sources: Sequence[Source], lookups: Lookups) -> Iterator[Finding]:
    """Contradictions in these sections."""
    for number, source in enumerate(sources):
        yield from _source(("sources", number), source)
    known = [STORE, *(source.name for source in sources)]
    for number, name in enumerate(lookups.any):
        if name not in known:
            yield ("lookups", "any", number), f"`sources` has no source `{name}`", (
                strictyaml.nearest(name, known) or "add it to `sources`, or name one that is there")
        elif name in lookups.any[:number]:
            yield ("lookups", "any", number), f"`{name}` is in the list twice", "remove one of the two"


_ONLY = {"starttls": "ldap", "base": "ldap", "bind_dn": "ldap", "username": "http", "networks": "http"}


_PLACES = re.compile(r"\{[a-z]+\}")  # {address} and so on in a template


def _source(at: strictyaml.Path, source: Source) -> Iterator[Finding]:
    for name, kind in _ONLY.items():
        if getattr(source, name) and source.kind != kind:
            yield (*at, name), f"`{name}` is not valid for a source of kind {source.kind}", (
                f"remove it, or write kind: {kind}")
    yield from networks((*at, "networks"), source.networks)
    checks = {"ldap": _ldap, "http": _http, "smimea": _smimea}
    yield from checks[source.kind](at, source)


def _ldap(at: strictyaml.Path, source: Source) -> Iterator[Finding]:
    if not source.url.startswith(("ldap://", "ldaps://")):
        yield (*at, "url"), f"`{source.url}` is not a valid LDAP URL", (
            "write a URL such as ldaps://directory.partner.example")
    for one in source.url.split():  # libldap takes several
        yield from web_url((*at, "url"), one)
    if source.starttls and source.url.startswith("ldaps://"):
        yield (*at, "starttls"), "`starttls` is for ldap:// URLs; an ldaps:// URL always uses TLS", "remove `starttls`"
    if source.url.startswith("ldap://") and not source.starttls and not _on_loopback(_host(source.url)):
        yield (*at, "url"), f"`{source.url}` is not encrypted: an attacker on the network could hide certificates", (
            "write starttls: true, or use an ldaps:// URL")
    if not source.base:
        yield at, "`base` is missing: the entry at which the search begins", (
            "add it, such as base: dc=partner,dc=example")
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


def _http(at: strictyaml.Path, source: Source) -> Iterator[Finding]:
    if not source.url.startswith(("https://", "http://")):
        yield (*at, "url"), f"`{source.url}` is not a valid HTTP URL", (
            "write a URL such as https://keys.example/?mail={address}")
    else:
        yield from web_url((*at, "url"), _PLACES.sub("x", source.url))
    if source.url.startswith("http://") and not _on_loopback(_host(source.url)):
        yield (*at, "url"), f"`{source.url}` is not encrypted: an attacker on the network could hide certificates", (
            "use an https:// URL")
    if not any(word in source.url for word in ("{address}", "{local}")):
        yield (*at, "url"), "the URL contains neither {address} nor {local}", (
            "put {address} where the service expects the address")
    if bool(source.username) is not (source.password_file is not None):
        yield at, "`username` and `password_file` must be set together", "set both, or neither"


def _smimea(at: strictyaml.Path, source: Source) -> Iterator[Finding]:
    if source.url:
        yield (*at, "url"), "`url` is not valid for a source of kind smimea", (
            "remove it; set `resolver` and `port`")
    if not _on_loopback(source.resolver):
        yield (*at, "resolver"), f"the resolver `{source.resolver}` is not on loopback", (
            "its DNSSEC result is only safe on this machine: use a validating resolver on 127.0.0.1")


def _host(url: str) -> str:
    """The host of a URL, without port and brackets."""
    host = url.partition("://")[2].partition("/")[0]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _on_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
