"""Mail to customers without a certificate: `without_certificate` of a rule (docs/fallbacks.md)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import ENCRYPT, Finding, Section, patterns, texts, travels_safely, web_url


class Invite(Section):
    """A neutral mail in addition to the held one; it contains no login link."""

    from_: str = Field(alias="from", description="header From of invitations")
    client: str = Field(description="the client that they are sent as; the rules decide on them as on any mail")
    way: str = Field(description="one sentence: how a customer gets a certificate from this bank")
    every_days: int = Field(30, ge=1, description="an address gets one invitation in this many days")


class EncryptedPdf(Section):
    """Mail and attachments in one PDF with a random password, which the bank delivers by another channel."""

    secret_file: Path = Field(description="passwords are derived from it; same form as codes.secret_file")
    hook_url: str = Field("", description="a password is sent to this URL by POST; https, or http on 127.0.0.1")
    hook_secret_file: Path | None = Field(None, description="calls are signed with it (HMAC-SHA-256)")
    hook_program: Path | None = Field(None, description="or a program that reads it from standard input")
    timeout_s: float = Field(10.0, gt=0, le=60)
    password_length: int = Field(16, ge=12, le=64, description="characters, from 32 that are not easily confused")


class Fallbacks(Section):
    """The settings for all services; the rules choose the fallback."""

    language: str = Field("", description="of letters and pages; '' = bank.language")
    templates: Path | None = Field(
        None, description="directory of the bank's templates; None = those of the distribution")
    hold_days: int = Field(30, ge=1, description="held mail is returned to its sender after this many days")
    notice_days: int = Field(3, ge=0, description="the sender is notified after this many days; 0 = never")
    invite: Invite | None = None
    encrypted_pdf: EncryptedPdf | None = None


def check(fallbacks: Fallbacks, clients: frozenset[str]) -> Iterator[Finding]:
    """Contradictions in the section."""
    at: strictyaml.Path = ("fallbacks",)
    invite = fallbacks.invite
    yield from texts("fallbacks", fallbacks.language, fallbacks.templates)
    if invite is not None:
        if invite.client not in clients:
            yield (*at, "invite", "client"), f"`clients` has no client `{invite.client}`", (
                strictyaml.nearest(invite.client, clients) or "add it to `clients`, or name one that is there")
        for _ in patterns(at, [invite.from_]):
            yield (*at, "invite", "from"), f"`{invite.from_}` is not a valid mail address", (
                "write an address such as service@bank.example")
    if 0 < fallbacks.hold_days <= fallbacks.notice_days:
        yield (*at, "notice_days"), (
            f"notice_days ({fallbacks.notice_days}) is not less than hold_days ({fallbacks.hold_days}): the "
            "sender would get the notice when the mail is already returned"), (
            f"write less than {fallbacks.hold_days}, or 0 for no notice")
    pdf = fallbacks.encrypted_pdf
    if pdf is not None and bool(pdf.hook_url) is (pdf.hook_program is not None):
        yield (*at, "encrypted_pdf"), (
            "exactly one of `hook_url` and `hook_program` must be set, to deliver the passwords"), "set one of the two"
    if pdf is not None and pdf.hook_url and pdf.hook_secret_file is None:
        yield (*at, "encrypted_pdf", "hook_url"), (
            "`hook_url` needs `hook_secret_file`, with which the calls are signed"), "set `hook_secret_file`"
    where = (*at, "encrypted_pdf", "hook_url")
    unusable = tuple(web_url(where, pdf.hook_url)) if pdf is not None and pdf.hook_url else ()
    yield from unusable
    if pdf is not None and pdf.hook_url and not unusable and not travels_safely(pdf.hook_url):
        yield where, f"`{pdf.hook_url}` would send passwords unencrypted", ENCRYPT
