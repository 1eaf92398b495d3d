"""What becomes of mail to customers without a certificate: `without_certificate` of a rule (docs/fallbacks.md)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, patterns, travels_safely, web_url


class Invite(Section):
    """A neutral mail beside the held one: it holds no link to log in."""

    from_: str = Field(alias="from", description="header From of invitations")
    client: str = Field(description="the client in whose name they are sent: the rules decide on them as on any mail")
    way: str = Field(description="one sentence: how a customer comes to a certificate at this bank")
    every_days: int = Field(30, ge=1, description="one invitation in so many days for each address")


class EncryptedPdf(Section):
    """Mail and attachments in one PDF with a random password, which the bank hands over by a way of its own."""

    secret_file: Path = Field(description="passwords are derived with it: as codes.secret_file")
    hook_url: str = Field("", description="where a password is handed over by POST; https, or http on loopback")
    hook_secret_file: Path | None = Field(None, description="calls are signed with it (HMAC-SHA-256)")
    hook_program: Path | None = Field(None, description="or a program that reads it from standard input")
    timeout_s: float = Field(10.0, gt=0, le=60)
    password_length: int = Field(16, ge=12, le=64, description="characters of 32 that are not mistaken for others")


class Fallbacks(Section):
    """One for all services; which is taken where, the rules say."""

    language: str = "en"
    templates: Path | None = Field(None, description="directory of own templates; None = those of the distribution")
    hold_days: int = Field(30, ge=1, description="mail without a certificate is given up after so many")
    notice_days: int = Field(3, ge=0, description="the sender hears after so many that it waits; 0 = not at all")
    invite: Invite | None = None
    encrypted_pdf: EncryptedPdf | None = None


def check(fallbacks: Fallbacks, clients: frozenset[str]) -> Iterator[Finding]:
    """In what they contradict themselves."""
    at: strictyaml.Path = ("fallbacks",)
    invite = fallbacks.invite
    if invite is not None:
        if invite.client not in clients:
            yield (*at, "invite", "client"), f"there is no client `{invite.client}`", (
                strictyaml.nearest(invite.client, clients) or "see `clients`")
        for _ in patterns(at, [invite.from_]):
            yield (*at, "invite", "from"), f"`{invite.from_}` is no mail address", "such as service@bank.example"
    if 0 < fallbacks.hold_days <= fallbacks.notice_days:
        yield (*at, "notice_days"), "the sender would hear that a mail waits when it is given up", (
            "less than hold_days, or 0")
    pdf = fallbacks.encrypted_pdf
    if pdf is not None and bool(pdf.hook_url) is (pdf.hook_program is not None):
        yield (*at, "encrypted_pdf"), "passwords are handed over by one way", "name hook_url or hook_program"
    if pdf is not None and pdf.hook_url and pdf.hook_secret_file is None:
        yield (*at, "encrypted_pdf", "hook_url"), "calls are not signed", "name hook_secret_file"
    where = (*at, "encrypted_pdf", "hook_url")
    unusable = tuple(web_url(where, pdf.hook_url)) if pdf is not None and pdf.hook_url else ()
    yield from unusable
    if pdf is not None and pdf.hook_url and not unusable and not travels_safely(pdf.hook_url):
        yield where, "passwords would travel in clear", "https://…"
