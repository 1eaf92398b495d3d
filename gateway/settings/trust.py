"""Whom we believe and how revocation is learned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gateway import strictyaml
from gateway.settings.base import Finding, Section, is_oid, networks, patterns

Mode = Literal["none", "soft", "require"]
_MODES: Final = get_args(Mode)
Level = Literal["mailbox", "organisation", "sponsor", "individual"]
Stated = Literal["mailbox", "organisation", "sponsor", "individual", "qualified"]


class RevocationModes(Section):
    """none: nobody asks | soft: unknown is told, does not decide | require: unknown is indeterminate.

    One word stands for all three.
    """

    signers: Mode = "soft"
    recipients: Mode = "soft"
    stampers: Mode = "soft"

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in _MODES:  # told once, not for each of the three
            expected = ", ".join(f"'{mode}'" for mode in _MODES)
            raise PydanticCustomError("literal_error", "no mode", {"expected": expected})
        return {"signers": value, "recipients": value, "stampers": value}


class Mark(Section):
    """What certificates below one root may say of their holders; under a root without a mark they say nothing."""

    root: Path = Field(description="PEM of the root")
    levels: tuple[Stated, ...] = Field(
        (), description="levels of the CA/B Forum's S/MIME policies that count; qualified: its QcCompliance counts")
    policies: dict[str, Level] = Field(default_factory=dict, description="the authority's own policies: level")
    hardware_policies: tuple[str, ...] = Field((), description="policies that say: the key lives in hardware")
    qcsscd: bool = Field(False, description="whether its QcSSCD statement is believed (ETSI EN 319 412-5)")


class Trust(Section):
    """Whom we believe, for each purpose. PEM files or directories of them."""

    signers: tuple[Path, ...] = Field((), description="roots for signers of inbound mail")
    recipients: tuple[Path, ...] = Field((), description="roots for certificates that we encrypt to")
    stampers: tuple[Path, ...] = Field((), description="roots of internal time-stamping services")
    stampers_external: tuple[Path, ...] = ()
    stampers_qualified: tuple[Path, ...] = ()
    ocsp_responders: tuple[Path, ...] = Field((), description="responders believed beyond what issuers delegate")
    intermediates: tuple[Path, ...] = Field((), description="complete paths, not trusted by themselves")
    marks: tuple[Mark, ...] = Field((), description="which roots' words on identity and hardware count")
    revocation: RevocationModes = RevocationModes()


class Fetch(Section):
    """What is fetched in the background: revocation lists, OCSP answers, missing issuers."""

    enabled: bool = True
    schemes: tuple[Literal["http", "https"], ...] = ("http", "https")
    networks: tuple[str, ...] = Field((), description="private networks that may be asked as well as public ones")
    deadline_s: float = Field(20.0, gt=0, description="for one answer")
    octets_max: int = Field(67_108_864, ge=1024, description="64 MiB: a list of a million entries")
    max_age_s: float = Field(43_200.0, gt=0, description="lists are fetched anew after this, whatever they say")
    retry_s: float = Field(300.0, gt=0, description="after a failure")
    wait_s: float = Field(3.0, ge=0, description="how long a mail waits for what was never fetched before")


class Reports(Section):
    """The daily mail to the administrator: what ends soon, which unknown authorities were met."""

    to: str = Field("", description="'' = the postmaster")
    hour: int = Field(6, ge=0, le=23, description="UTC")
    expiry_days: int = Field(30, ge=1, description="certificates and algorithms that end within so many days are told")


def check(trust: Trust, fetch: Fetch, reports: Reports) -> Iterator[Finding]:
    """In what they contradict themselves."""
    for number, mark in enumerate(trust.marks):
        at: strictyaml.Path = ("trust", "marks", number)
        if mark.root in [before.root for before in trust.marks[:number]]:
            yield (*at, "root"), f"`{mark.root}` is marked a second time", "one mark for each root"
        for oid in mark.policies:
            if not is_oid(oid):
                yield (*at, "policies"), f"`{oid}` is no object identifier", "digits and dots, in quotes"
        for place, oid in enumerate(mark.hardware_policies):
            if not is_oid(oid):
                yield (*at, "hardware_policies", place), f"`{oid}` is no object identifier", (
                    "digits and dots, in quotes")
    yield from networks(("fetch", "networks"), fetch.networks)
    if reports.to:
        yield from patterns(("reports", "to"), (reports.to,))
