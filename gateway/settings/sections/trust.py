"""Trust anchors, and how revocation is checked."""

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
    """none: not checked | soft: unknown is reported, does not decide | require: unknown is indeterminate.

    One word instead of the mapping sets all three.
    """

    signers: Mode = "soft"
    recipients: Mode = "soft"
    stampers: Mode = "soft"

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in _MODES:  # reported once, not for each of the three
            expected = ", ".join(f"'{mode}'" for mode in _MODES)
            raise PydanticCustomError("literal_error", "not a mode", {"expected": expected})
        return {"signers": value, "recipients": value, "stampers": value}


class Mark(Section):
    """Identity statements accepted from certificates below one root; without a mark none are accepted."""

    root: Path = Field(description="PEM of the root")
    levels: tuple[Stated, ...] = Field(
        (), description="accepted levels of the CA/B Forum's S/MIME policies; qualified: QcCompliance is accepted")
    policies: dict[str, Level] = Field(default_factory=dict, description="the CA's own policies, each with its level")
    hardware_policies: tuple[str, ...] = Field((), description="policies which state that the key is in hardware")
    qcsscd: bool = Field(False, description="whether its QcSSCD statement is accepted (ETSI EN 319 412-5)")


class Trust(Section):
    """Trust anchors for each purpose: PEM files or directories of them."""

    signers: tuple[Path, ...] = Field((), description="roots for signers of inbound mail")
    recipients: tuple[Path, ...] = Field((), description="roots for certificates of recipients")
    stampers: tuple[Path, ...] = Field((), description="roots of internal time-stamping services")
    stampers_external: tuple[Path, ...] = ()
    stampers_qualified: tuple[Path, ...] = ()
    ocsp_responders: tuple[Path, ...] = Field(
        (), description="OCSP responders trusted without delegation by the issuer")
    intermediates: tuple[Path, ...] = Field(
        (), description="intermediates that complete paths; they are not trust anchors")
    marks: tuple[Mark, ...] = Field((), description="roots whose statements on identity and hardware are accepted")
    revocation: RevocationModes = RevocationModes()


class Fetch(Section):
    """Fetching in the background: CRLs, OCSP responses, missing issuers."""

    enabled: bool = True
    schemes: tuple[Literal["http", "https"], ...] = ("http", "https")
    networks: tuple[str, ...] = Field(
        (), description="private networks that may be fetched from, in addition to public ones")
    deadline_s: float = Field(20.0, gt=0, description="for one response")
    octets_max: int = Field(67_108_864, ge=1024, description="64 MiB: a CRL of a million entries")
    max_age_s: float = Field(
        43_200.0, gt=0, description="CRLs are fetched again after this time, even if they are valid longer")
    retry_s: float = Field(300.0, gt=0, description="after a failure")
    wait_s: float = Field(3.0, ge=0, description="how long a mail waits for a first fetch")


class Reports(Section):
    """The daily mail to the administrator: upcoming expiries and unknown CAs."""

    to: str = Field("", description="'' = the postmaster")
    hour: int = Field(6, ge=0, le=23, description="UTC")
    expiry_days: int = Field(
        30, ge=1, description="certificates and algorithms that expire within this many days are reported")


def check(trust: Trust, fetch: Fetch, reports: Reports) -> Iterator[Finding]:
    """Contradictions in these sections."""
    for number, mark in enumerate(trust.marks):
        at: strictyaml.Path = ("trust", "marks", number)
        if mark.root in [before.root for before in trust.marks[:number]]:
            yield (*at, "root"), f"the root `{mark.root}` has two marks", "merge them: a root can have only one mark"
        for oid in mark.policies:
            if not is_oid(oid):
                yield (*at, "policies"), f"`{oid}` is not a valid object identifier (OID)", (
                    'write numbers with dots, in quotes, such as "1.2.3.4"')
        for place, oid in enumerate(mark.hardware_policies):
            if not is_oid(oid):
                yield (*at, "hardware_policies", place), f"`{oid}` is not a valid object identifier (OID)", (
                    'write numbers with dots, in quotes, such as "1.2.3.4"')
    yield from networks(("fetch", "networks"), fetch.networks)
    if reports.to:
        yield from patterns(("reports", "to"), (reports.to,))
