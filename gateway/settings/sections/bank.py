"""The bank: its mail domains, and the names that the gateway uses."""

from collections.abc import Iterator

from pydantic import Field

from gateway import languages
from gateway.model.address import fold, is_mailbox
from gateway.settings.base import Finding, Section, is_time_zone, repeated


class Bank(Section):
    """The bank: its mail domains and the names that the gateway uses."""

    domains: tuple[str, ...] = Field(
        min_length=1, description="mail domains of the bank; recipients in them are inbound")
    hostname: str = Field(description="the gateway's name in greetings, Received and Message-IDs")
    authserv_id: str = Field(
        "", description="the gateway's authserv-id in Authentication-Results (RFC 8601); '' = hostname")
    trusted_authserv_ids: tuple[str, ...] = Field(
        (), description="authserv-ids of preceding filters whose Authentication-Results are accepted")
    postmaster: str = Field("", description="From address of reports; '' = postmaster@ the first domain")
    name: str = Field("", description="the bank's name as customers read it in mails; '' = the first domain")
    contact: str = Field("", description="telephone number or address that mails give for questions; '' = none")
    language: str = Field("en", description="en, de or fr: of delivery reports and other mails to senders")
    time_zone: str = Field("UTC", description="of the times in mails to people, such as Europe/Berlin")


def check(bank: Bank) -> Iterator[Finding]:
    """Contradictions in the section."""
    for number, domain in enumerate(bank.domains):
        if not domain or "@" in domain or domain.startswith(".") or "." not in domain.strip("."):
            yield ("bank", "domains", number), f"`{domain}` is not a valid mail domain", (
                "write a domain such as bank.example")
    yield from repeated("bank", [fold(domain) for domain in bank.domains], "domains")
    if not bank.hostname or "@" in bank.hostname or " " in bank.hostname:
        yield ("bank", "hostname"), f"`{bank.hostname}` is not a valid host name", (
            "write a name such as mail.bank.example")
    if bank.postmaster and not is_mailbox(bank.postmaster):
        yield ("bank", "postmaster"), f"`{bank.postmaster}` is not a valid mail address", (
            "write an address such as postmaster@bank.example")
    for field in ("name", "contact"):
        if not all(char.isprintable() for char in getattr(bank, field)):
            yield ("bank", field), "it has a line end or another control character", "write it on one line"
    if bank.language not in languages.installed():
        yield ("bank", "language"), f"there are no texts in the language `{bank.language}`", (
            f"write one of {', '.join(languages.installed())}")
    if not is_time_zone(bank.time_zone):
        yield ("bank", "time_zone"), f"the time zone `{bank.time_zone}` is unknown", "write UTC or Europe/Berlin"
    own = fold(bank.authserv_id or bank.hostname)
    for number, identity in enumerate(bank.trusted_authserv_ids):
        if fold(identity) == own:
            yield ("bank", "trusted_authserv_ids", number), f"`{identity}` is the gateway's own authserv-id", (
                "configure another authserv-id in the filter, and name it here: results with the gateway's id are "
                "removed")
