"""The bank: its mail domains, and the names that the gateway uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from gateway import languages
from gateway.model.address import fold, is_mailbox
from gateway.model.colours import CONTRAST_MIN, PAPER, PAPER_DARK, contrast, is_colour, readable
from gateway.settings.base import Finding, Section, is_time_zone, repeated


class Contact(Section):
    """Where the bank answers questions of customers. Written as one text instead of the keys, mails show that text."""

    text: str = Field("", description="shown as it is; '' = telephone and web")
    telephone: str = Field("", description="such as +49 69 1234; '' = none")
    web: str = Field("", description="web address as text, such as www.bank.example; '' = none")

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given


class Colours(Section):
    """Of headings and rules. Each must be readable (WCAG 2.2 AA: 4.5 : 1)."""

    light: str = Field("#14324f", description="on white")
    dark: str = Field("#9cc3e6", description="on #15181c, where the reader's system has a dark scheme")


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
    short_name: str = Field("", description="the name in From and above mails; '' = name")
    contact: Contact = Field(Contact(), description="a text, or {telephone: …, web: …}, that mails give for questions")
    colours: Colours = Colours()
    logo: Path | None = Field(None, description="PNG file of at most 30000 octets, in every mail to customers")
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
    yield from _shown(bank)
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


def _shown(bank: Bank) -> Iterator[Finding]:
    """What people read of the bank."""
    texts: list[tuple[tuple[str, ...], str]] = [(("name",), bank.name), (("short_name",), bank.short_name)]
    texts += [(("contact", name), text) for name, text in bank.contact]
    for at, text in texts:
        if not text.isprintable():
            yield ("bank", *at), "it has a line end or another control character", "write it on one line"
    if bank.contact.text and (bank.contact.telephone or bank.contact.web):
        yield ("bank", "contact"), "it has both `text` and `telephone` or `web`", "remove `text`"
    if "://" in bank.contact.web or "@" in bank.contact.web:
        yield ("bank", "contact", "web"), f"`{bank.contact.web}` is a link or a mail address, and mails have none", (
            "write the address as text, such as www.bank.example")
    for name, paper in (("light", PAPER), ("dark", PAPER_DARK)):
        colour = getattr(bank.colours, name)
        if not is_colour(colour):
            yield ("bank", "colours", name), f"`{colour}` is not a colour", 'write one such as "#14324f", in quotes'
        elif (ratio := contrast(colour, paper)) < CONTRAST_MIN:
            yield ("bank", "colours", name), (
                f"text of the colour {colour} is hard to read on {paper}: the contrast is {ratio:.2f} : 1, and "
                f"WCAG 2.2 AA asks for {CONTRAST_MIN} : 1"), f'write one such as "{readable(colour, paper)}"'
