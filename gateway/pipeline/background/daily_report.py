"""Writes the daily report to the administrator: expiring certificates, unknown authorities, failed fetches of CRLs.

Without findings there is no mail. An unknown authority makes it important: signatures under it are not trusted until an
administrator decides. Texts from certificates of others are shown with their control characters escaped.

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
from gateway.ports.authorities import UnknownAuthority
from gateway.ports.fetch import FetchTask
from gateway.ports.next_hop import NextHop

LINES_MAX: Final = 100  # of each kind; the rest is counted
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
    parts = (f"Hello,\n\nThis is the daily report of the mail gateway {hostname}.",
             _unknown(findings.unknown), _ends(findings.ends, now), _failed(findings.failed),
             "The gateway sends this report only if there is something to do.")
    return message(fields, text("\n\n".join(part for part in parts if part) + "\n"))


def send_report(octets: bytes, to: str, hop: NextHop) -> None:
    """Sends it to the inbound next hop. GatewayError(NEXT_HOP_*) if that does not accept it."""
    (reply,) = hop.deliver(octets, Envelope("", (Recipient(to, notify=("NEVER",)),)))
    if not reply.taken:
        reason = Reason.NEXT_HOP_REFUSED if reply.permanent else Reason.NEXT_HOP_LATER
        raise GatewayError(reason, f"the daily report: {reply.code} {reply.text}", retry=True)


def _headlines(findings: Findings, now: datetime) -> list[str]:
    ended = sum(one.not_after <= now for one in findings.ends)
    counted = ((len(findings.unknown), "unknown authority", "unknown authorities"),
               (ended, "certificate has expired", "certificates have expired"),
               (len(findings.ends) - ended, "certificate expires soon", "certificates expire soon"),
               (len(findings.failed), "revocation list cannot be fetched", "revocation lists cannot be fetched"))
    return [f"{count} {one if count == 1 else many}" for count, one, many in counted if count]


def _unknown(found: Sequence[UnknownAuthority]) -> str:
    if not found:
        return ""
    lines = ["UNKNOWN AUTHORITIES", "",
             "Signed mail arrived with certificates of the authorities below. No administrator has decided yet",
             "whether to trust them, so this mail was delivered as unknown or not trusted.", "",
             "Run `sealgate cert unknown`: it shows the command that trusts or ignores each authority. Before you",
             "trust one, compare its fingerprint with the one that the authority publishes.", ""]
    for one in found[:LINES_MAX]:
        times = "once" if one.count == 1 else f"{one.count} times"
        lines += [f"  {_line(one.subject)}", f"    issued by   {_line(one.issuer)}",
                  f"    seen        {times} since {_day(one.first_at)}, for example from {_line(one.example)}",
                  f"    SHA-256     {one.key if one.der is not None else 'unknown: it did not come with the mail'}", ""]
    return "\n".join([*lines, *_rest(found)]).rstrip()


def _ends(found: Sequence[Ends], now: datetime) -> str:
    if not found:
        return ""
    lines = ["EXPIRING KEYS AND CERTIFICATES", "",
             "The gateway uses these keys and certificates. They have expired or expire soon: replace them in time.",
             "`sealgate check` lists them as well.", ""]
    for one in found[:LINES_MAX]:
        days = (one.not_after - now).days
        left = "EXPIRED" if one.not_after <= now else f"in {days} day{'' if days == 1 else 's'}"
        lines.append(f"  {_day(one.not_after)}  {left:<12} {one.what} {_line(one.name)}: {_line(one.subject)}")
    return "\n".join([*lines, *_rest(found)])


def _failed(found: Sequence[FetchTask]) -> str:
    if not found:
        return ""
    lines = ["REVOCATION LISTS", "",
             "The gateway cannot fetch these revocation lists. With `revocation: require`, it cannot decide about mail",
             "that needs a list once the last fetched one has expired. To try one now, run",
             "`sealgate revocation refresh URL`.", ""]
    for task in found[:LINES_MAX]:
        sentence = SENTENCES[task.reason or Reason.FETCH_UNAVAILABLE]
        last = f"last fetched {_day(task.done_at)}" if task.done_at is not None else "never fetched"
        lines += [f"  {_line(task.request.url)}",
                  f"    {task.failures} failures, {last}: {sentence.what} {sentence.admin}",
                  f"    {_line(task.detail)}", ""]
    return "\n".join([*lines, *_rest(found)]).rstrip()


def _rest(found: Sequence[object]) -> list[str]:
    return [f"  … and {len(found) - LINES_MAX} more"] if len(found) > LINES_MAX else []


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def _line(value: str) -> str:
    return value if value.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
