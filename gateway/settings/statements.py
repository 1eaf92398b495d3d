"""Statements and bills in runs (docs/statements.md)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, mailbox, patterns


class Statements(Section):
    """What holds for every run; a run's own file says the rest."""

    from_: str = Field(alias="from", description="header From of the mails")
    secret_file: Path = Field(description="keys of items and return addresses hang on it: as codes.secret_file")
    client: str = Field(description="the client of `clients` in whose name runs of the command send")
    language: str = Field("en", description="where neither run nor customer names one")
    templates: Path | None = Field(None, description="directory of own templates; None = those of the distribution")
    sources: Path = Field(Path("statements"), description="directory; runs over HTTP name files below it only")
    reports: Path = Field(Path("reports"), description="directory of pre-flights and reports")
    bounces: str = Field("", description="mailbox for bounces, such as bounces@bank.example; '' = none")
    postfix_log: Path | None = Field(None, description="where Postfix tells what became of mail")
    processes: int = Field(0, ge=0, le=64, description="of a run; 0 = one for each core")
    threads: int = Field(4, ge=1, le=64, description="mails in work in each of them")
    nice: int = Field(10, ge=0, le=19, description="how far runs stand back behind codes and other mail")
    per_domain_per_minute_max: int = Field(0, ge=0, description="mails to one destination domain; 0 = no limit")
    refused_percent_max: float = Field(2.0, ge=0, le=100, description="a run with more that cannot go does not start")
    document_octets_max: int = Field(20_971_520, ge=1024, description="of one PDF")
    document_timeout_s: float = Field(20.0, gt=0, le=600, description="for making one PDF of a template")
    keep_days: int = Field(400, ge=1, description="how long it is remembered that a statement was sent")


def check(statements: Statements | None, clients: frozenset[str]) -> Iterator[Finding]:
    """In what they contradict themselves."""
    if statements is None:
        return
    at: strictyaml.Path = ("statements",)
    if statements.client not in clients:
        yield (*at, "client"), f"there is no client `{statements.client}`", (
            strictyaml.nearest(statements.client, clients) or "see `clients`")
    for name in ("from_", "bounces"):
        address = getattr(statements, name)
        for _ in patterns(at, [address]) if address else ():
            yield (*at, name.rstrip("_")), f"`{address}` is no mail address", "such as statements@bank.example"
    yield from mailbox((*at, "bounces"), statements.bounces)
