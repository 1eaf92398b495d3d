"""Statements and bills in runs (docs/statements.md)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, mailbox, patterns, texts


class Statements(Section):
    """The settings for all runs; the file of a run contains the others."""

    from_: str = Field(alias="from", description="header From of the mails")
    secret_file: Path = Field(
        description="item keys and return paths are derived from it; same form as codes.secret_file")
    client: str = Field(description="the entry of `clients` that runs started by a command send as")
    language: str = Field("", description="used if neither the run nor the customer has one; '' = bank.language")
    templates: Path | None = Field(
        None, description="directory of the bank's templates; None = those of the distribution")
    sources: Path = Field(Path("statements"), description="directory; runs over HTTP can only name files below it")
    reports: Path = Field(
        Path("reports"), description="directory of pre-flight results and reports; the default is beside `database`")
    bounces: str = Field("", description="mailbox for bounces, such as bounces@bank.example; '' = none")
    postfix_log: Path | None = Field(None, description="Postfix's log, which has the delivery status of each mail")
    processes: int = Field(0, ge=0, le=64, description="per run; 0 = one per core")
    threads: int = Field(4, ge=1, le=64, description="mails processed at once in each process")
    nice: int = Field(
        10, ge=0, le=19, description="nice(1) value: runs have a lower CPU priority than codes and other mail")
    per_domain_per_minute_max: int = Field(0, ge=0, description="mails to one destination domain; 0 = no limit")
    refused_percent_max: float = Field(
        2.0, ge=0, le=100, description="a run does not start if more of its mails cannot be sent")
    document_octets_max: int = Field(20_971_520, ge=1024, description="of one PDF")
    document_timeout_s: float = Field(20.0, gt=0, le=600, description="for rendering one PDF from a template")
    keep_days: int = Field(400, ge=1, description="how long the record of a sent statement is kept")


def check(statements: Statements | None, clients: frozenset[str]) -> Iterator[Finding]:
    """Contradictions in the section."""
    if statements is None:
        return
    yield from texts("statements", statements.language, statements.templates)
    at: strictyaml.Path = ("statements",)
    if statements.client not in clients:
        yield (*at, "client"), f"`clients` has no client `{statements.client}`", (
            strictyaml.nearest(statements.client, clients) or "add it to `clients`, or name one that is there")
    for name in ("from_", "bounces"):
        address = getattr(statements, name)
        for _ in patterns(at, [address]) if address else ():
            yield (*at, name.rstrip("_")), f"`{address}` is not a valid mail address", (
                "write an address such as statements@bank.example")
    yield from mailbox((*at, "bounces"), statements.bounces)
