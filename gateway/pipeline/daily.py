"""The daily mail to the administrator: what ends soon, which unknown authorities mail has shown, what is not fetched.

Nothing to tell: no mail. An authority that nobody has decided on makes it important, for each of its mails is believed
by nobody until somebody does. Texts out of strangers' certificates are shown with their control characters escaped.

RFC 5322, RFC 3834 (Auto-Submitted).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.mime.addresses import encode_mailboxes
from gateway.mime.build import date_field, message, text
from gateway.mime.trace import new_message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import Mailbox
from gateway.model.mail import Envelope, Recipient
from gateway.model.sentences import SENTENCES
from gateway.ports.authorities import MetAuthority
from gateway.ports.fetch import FetchTask
from gateway.ports.next_hop import NextHop

LINES_MAX: Final = 100  # of each kind; the rest is counted
FAILURES_MIN: Final = 3  # a list that failed less often is told by nobody: servers are restarted now and then


@dataclass(frozen=True, slots=True)
class Ends:
    """Something of the bank's own that ends. `what`: 'key set', 'TLS certificate', …; `name`: as in the settings."""

    name: str
    what: str
    subject: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Findings:
    """All that there is to tell. `ends`: what ends soon or has ended, the soonest first."""

    ends: Sequence[Ends] = field(default=())
    unknown: Sequence[MetAuthority] = field(default=())
    failed: Sequence[FetchTask] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.ends or self.unknown or self.failed)


def failing(tasks: Sequence[FetchTask]) -> tuple[FetchTask, ...]:
    """Lists that cannot be fetched, those that fail longest first."""
    failed = [task for task in tasks if task.wanted.kind == "crl" and task.failures >= FAILURES_MIN]
    return tuple(sorted(failed, key=lambda task: (-task.failures, task.wanted.url)))


def report_mail(findings: Findings, to: str, sender: str, hostname: str, now: datetime) -> bytes:
    """The whole message, 7-bit."""
    subject = f"Sealgate {hostname}: {', '.join(_headlines(findings, now))}"
    fields = (
        encode_mailboxes("From", (Mailbox("Mail gateway", sender),)),
        encode_mailboxes("To", (Mailbox("", to),)),
        encode_unstructured("Subject", f"IMPORTANT: {subject}" if findings.unknown else subject),
        date_field(now),
        new_message_id(token_hex(16), hostname),
        b"Auto-Submitted: auto-generated\r\n",
    )
    parts = (_unknown(findings.unknown), _ends(findings.ends, now), _failed(findings.failed))
    return message(fields, text("\n\n".join(part for part in parts if part) + "\n"))


def send_report(octets: bytes, to: str, hop: NextHop) -> None:
    """To the mail server behind us. GatewayError(NEXT_HOP_*) if it does not take it."""
    (reply,) = hop.deliver(octets, Envelope("", (Recipient(to, notify=("NEVER",)),)))
    if not reply.taken:
        reason = Reason.NEXT_HOP_REFUSED if reply.permanent else Reason.NEXT_HOP_LATER
        raise GatewayError(reason, f"the daily report: {reply.code} {reply.text}", retry=True)


def _headlines(findings: Findings, now: datetime) -> list[str]:
    ended = sum(one.not_after <= now for one in findings.ends)
    counted = ((len(findings.unknown), "unknown authority", "unknown authorities"),
               (ended, "certificate has ended", "certificates have ended"),
               (len(findings.ends) - ended, "certificate ends soon", "certificates end soon"),
               (len(findings.failed), "list cannot be fetched", "lists cannot be fetched"))
    return [f"{count} {one if count == 1 else many}" for count, one, many in counted if count]


def _unknown(found: Sequence[MetAuthority]) -> str:
    if not found:
        return ""
    lines = ["Mail came whose signers stand below authorities that nobody has decided on. It was delivered as unknown",
             "or not trusted. Decide on each: `sealgate cert unknown` shows the command that trusts or ignores it.", ""]
    for one in found[:LINES_MAX]:
        lines += [f"  {_line(one.subject)}", f"    issued by   {_line(one.issuer)}",
                  f"    seen        {one.count} times since {_day(one.first_at)}, e.g. from {_line(one.example)}",
                  f"    SHA-256     {one.key if one.der is not None else 'unknown: it did not come with the mail'}", ""]
    return "\n".join([*lines, *_rest(found)]).rstrip()


def _ends(found: Sequence[Ends], now: datetime) -> str:
    if not found:
        return ""
    lines = ["Keys and certificates of the bank that end soon or have ended (see `sealgate check`):", ""]
    for one in found[:LINES_MAX]:
        days = (one.not_after - now).days
        left = "ENDED" if one.not_after <= now else f"in {days} day{'' if days == 1 else 's'}"
        lines.append(f"  {_day(one.not_after)}  {left:<12} {one.what} {_line(one.name)}: {_line(one.subject)}")
    return "\n".join([*lines, *_rest(found)])


def _failed(found: Sequence[FetchTask]) -> str:
    if not found:
        return ""
    lines = ["Revocation lists that cannot be fetched. Under `revocation: require`, mail that needs them is undecided",
             "when the lists at hand end. `sealgate revocation refresh URL` tries one now.", ""]
    for task in found[:LINES_MAX]:
        said = SENTENCES[task.reason or Reason.FETCH_UNAVAILABLE]
        last = f"last fetched {_day(task.done_at)}" if task.done_at is not None else "never fetched"
        lines += [f"  {_line(task.wanted.url)}", f"    {task.failures} failures, {last}: {said.what} {said.admin}",
                  f"    {_line(task.detail)}"]
    return "\n".join([*lines, *_rest(found)])


def _rest(found: Sequence[object]) -> list[str]:
    return [f"  … and {len(found) - LINES_MAX} more"] if len(found) > LINES_MAX else []


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def _line(value: str) -> str:
    return value if value.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
