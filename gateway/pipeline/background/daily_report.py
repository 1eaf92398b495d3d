"""Writes the daily report to the administrator: expiring certificates, unknown authorities, failed fetches of CRLs.

The words are the template `daily_report`. Without findings there is no mail. An unknown authority makes it important:
signatures under it are not trusted until an administrator decides. Texts from certificates of others are shown with
their control characters escaped.

RFC 5322, RFC 3834 (Auto-Submitted).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import Final, TypeVar

from gateway.errors import GatewayError, Reason
from gateway.languages import words
from gateway.letters.write import Letter, Writer
from gateway.mime.addresses import encode_mailboxes
from gateway.mime.build import date_field, message, text
from gateway.mime.trace import new_message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import Mailbox
from gateway.model.mail import Envelope, Recipient
from gateway.model.sentences import SENTENCES, public_texts
from gateway.ports.authorities import UnknownAuthority
from gateway.ports.fetch import FetchTask
from gateway.ports.next_hop import NextHop

LINES_MAX: Final = 100  # of each kind; the rest is counted
_One = TypeVar("_One")
FAILURES_MIN: Final = 3  # a list that failed less often is left out: servers restart now and then


@dataclass(frozen=True, slots=True)
class Ends:
    """Something of the bank's own that expires. `what`: 'key set', 'TLS certificate', …; `name`: as in the settings."""

    name: str
    what: str
    subject: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Findings:
    """What the report says. `ends`: what expires soon or has expired, the soonest first."""

    ends: Sequence[Ends] = field(default=())
    unknown: Sequence[UnknownAuthority] = field(default=())
    failed: Sequence[FetchTask] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.ends or self.unknown or self.failed)


def failing(tasks: Sequence[FetchTask]) -> tuple[FetchTask, ...]:
    """Revocation lists that cannot be fetched, the most failures first."""
    failed = [task for task in tasks if task.request.kind == "crl" and task.failures >= FAILURES_MIN]
    return tuple(sorted(failed, key=lambda task: (-task.failures, task.request.url)))


def report_mail(findings: Findings, to: str, sender: str, hostname: str, now: datetime, writer: Writer) -> bytes:
    """The whole message, 7-bit. `writer`: of the gateway's own mails, in the language of the bank."""
    letter = _letter(findings, hostname, now, writer)
    fields = (
        encode_mailboxes("From", (Mailbox(writer.letterhead.sender, sender),)),
        encode_mailboxes("To", (Mailbox("", to),)),
        encode_unstructured("Subject", letter.subject),
        date_field(now),
        new_message_id(token_hex(16), hostname),
        b"Auto-Submitted: auto-generated\r\n",
        f"Content-Language: {letter.language}\r\n".encode("ascii"),
    )
    return message(fields, text(letter.text))


def send_report(octets: bytes, to: str, hop: NextHop) -> None:
    """Sends it to the inbound next hop. GatewayError(NEXT_HOP_*) if that does not accept it."""
    (reply,) = hop.deliver(octets, Envelope("", (Recipient(to, notify=("NEVER",)),)))
    if not reply.taken:
        reason = Reason.NEXT_HOP_REFUSED if reply.permanent else Reason.NEXT_HOP_LATER
        raise GatewayError(reason, f"the daily report: {reply.code} {reply.text}", retry=True)


def _letter(findings: Findings, hostname: str, now: datetime, writer: Writer) -> Letter:
    language = writer.chosen("daily_report", None)
    kinds = words(language, "ends")
    expired = sum(one.not_after <= now for one in findings.ends)
    return writer.write("daily_report", language, {
        "hostname": hostname, "expired": expired, "expiring": len(findings.ends) - expired,
        "unknown": _part(findings.unknown, lambda one: {
            "subject": _line(one.subject), "issuer": _line(one.issuer), "count": one.count, "since": one.first_at,
            "example": _line(one.example), "sha256": one.key if one.der is not None else ""}),
        "ends": _part(findings.ends, lambda one: {
            "at": one.not_after, "days": None if one.not_after <= now else (one.not_after - now).days,
            "what": kinds.get(one.what, one.what), "name": _line(one.name), "subject": _line(one.subject)}),
        "failed": _part(findings.failed, lambda one: {
            "url": _line(one.request.url), "failures": one.failures, "done": one.done_at,
            "what": public_texts(one.reason or Reason.FETCH_UNAVAILABLE, language)[0],
            "admin": SENTENCES[one.reason or Reason.FETCH_UNAVAILABLE].admin, "detail": _line(one.detail)})})


def _part(found: Sequence[_One], shown: Callable[[_One], Mapping[str, object]]) -> Mapping[str, object]:
    """The first LINES_MAX of one kind, and how many more there are."""
    return {"rows": [shown(one) for one in found[:LINES_MAX]], "count": len(found),
            "more": max(len(found) - LINES_MAX, 0)}


def _line(value: str) -> str:
    return value if value.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
