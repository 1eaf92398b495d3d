"""One-time codes by sealed mail (docs/codes.md)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, mailbox, patterns, texts


class Codes(Section):
    """Defaults; a caller may choose digits and life within the limits here."""

    from_: str = Field(alias="from", description="header From of the mails")
    secret_file: Path = Field(description="codes are derived with it: 32 characters or more, random, mode 0600")
    digits: int = Field(8, ge=6, le=10)
    life_s: int = Field(300, ge=30, le=3600, description="how long a code is valid")
    life_s_max: int = Field(900, ge=30, le=3600, description="the longest validity that a caller may request")
    tries_max: int = Field(5, ge=1, le=10, description="wrong attempts; then the code is invalid")
    failures_max: int = Field(5, ge=0, le=100, description="wrong attempts in a row over all codes of a customer; then "
                              "the customer is locked; 0 = no lock")
    failures_window_s: int = Field(3600, ge=60, le=86_400, description="the period in which they are counted, and the "
                                   "duration of the lock")
    per_customer_per_hour_max: int = Field(20, ge=0, description="0 = no limit")
    per_client_per_minute_max: int = Field(600, ge=0, description="0 = no limit")
    send_timeout_s: float = Field(10.0, ge=1, le=60, description="how long the next hop may take to accept a code's "
                                  "mail; then the code is cancelled and the answer is 503")
    language: str = Field("", description="used if the caller names none; '' = bank.language")
    templates: Path | None = Field(
        None, description="directory of the bank's templates; None = those of the distribution")
    bounces: str = Field("", description="mailbox for bounces and replies, such as codes@bank.example; '' = none")
    alarm_to: str = Field("", description="address for alarms about a customer's `not me`; '' = the postmaster")
    keep_days: int = Field(400, ge=1, description="how long the record of a code is kept")


def check(codes: Codes | None) -> Iterator[Finding]:
    """Contradictions in the section."""
    if codes is None:
        return
    yield from texts("codes", codes.language, codes.templates)
    at: strictyaml.Path = ("codes",)
    if codes.life_s > codes.life_s_max:
        yield (*at, "life_s"), f"`life_s` is greater than `life_s_max` ({codes.life_s_max})", (
            f"write {codes.life_s_max} or less")
    for name in ("from_", "bounces", "alarm_to"):
        address = getattr(codes, name)
        for _ in patterns(at, [address]) if address else ():
            yield (*at, name.rstrip("_")), f"`{address}` is not a valid mail address", (
                "write an address such as codes@bank.example")
    yield from mailbox((*at, "bounces"), codes.bounces)
