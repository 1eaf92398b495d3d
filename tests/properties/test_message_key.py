"""The message key over generated mails: a retry is the same mail, another mail is not.

Truth: what Postfix adds and where (cleanup_message.c: Message-Id with queue id, then Date, then From and To, each only
where it is missing and behind everything else); ARCHITECTURE: two mails are one only where nothing tells them apart.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.header import parse_headers
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.pipeline.message_key import identified, message_key

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUEUE_IDS = st.text("0123456789ABCDEF", min_size=10, max_size=12)
WORDS = st.text("ghijklm -.<>@", min_size=1, max_size=12).map(str.strip)  # no author knows the next queue id
NAMES = ("From", "To", "Subject", "Date", "Message-ID", "X-Mailer", "Reply-To", "Received")
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), WORDS), min_size=1, max_size=8)
BODIES = st.binary(max_size=40).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"\r\n"))


def completed(fields: list[tuple[str, str]], body: bytes, queue_id: str | None, second: int) -> Mail:
    """The mail as a milter sees it at one attempt; as a relay does with `queue_id` None."""
    names = {name.lower() for name, _ in fields}
    octets = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)
    if queue_id is not None:
        if "message-id" not in names:
            octets += f"Message-Id: <202611241200{second:02}.{queue_id}@mx.bank.example>\r\n".encode()
        if "date" not in names:
            octets += f"Date: Tue, 24 Nov 2026 12:00:{second:02} +0000 (UTC)\r\n".encode()
        if "from" not in names:
            octets += b"From: otp@bank.example\r\n"
        if "to" not in names:
            octets += b"To: undisclosed-recipients:;\r\n"
    octets = b"Received: by filter\r\n" + octets if second % 2 else octets
    origin = Origin(True, "client", AT, f"{second}", attempt_id=queue_id)
    return Mail(octets + b"\r\n" + body, Envelope("otp@bank.example", (Recipient("anna@customer.example"),)), origin)


def key(mail: Mail) -> str:
    return message_key(mail, parse_headers(mail.octets), "outbound")


def known(mail: Mail) -> bool:
    return identified(mail, parse_headers(mail.octets))


@given(FIELDS, BODIES, QUEUE_IDS, QUEUE_IDS, st.integers(0, 29), st.integers(30, 59))
def test_a_retry_is_the_same_mail(fields: list[tuple[str, str]], body: bytes, first: str, second: str, at: int,
                                  later: int) -> None:
    one, two = completed(fields, body, first, at), completed(fields, body, second, later)
    assert key(one) == key(two)
    assert known(one) == known(two)


@given(FIELDS, FIELDS, BODIES, BODIES, QUEUE_IDS, QUEUE_IDS)
def test_another_mail_is_not(fields: list[tuple[str, str]], others: list[tuple[str, str]], body: bytes, other: bytes,
                             first: str, second: str) -> None:
    """Mails that differ in anything of their author's have different keys, or only unacknowledged ones are one."""
    def told(fields: list[tuple[str, str]], body: bytes) -> object:
        return [field for field in fields if field[0] != "Received"], body

    one, two = completed(fields, body, first, 10), completed(others, other, second, 11)
    if told(fields, body) != told(others, other) and key(one) == key(two):
        assert not known(one)
        assert not known(two)
        differ = set(fields) ^ set(others)
        assert {name for name, _ in differ} <= {"Date", "Received", "From", "To"}, "only what Postfix may have made"


@given(FIELDS, BODIES)
def test_behind_a_relay_every_field_counts(fields: list[tuple[str, str]], body: bytes) -> None:
    mail = completed([*fields, ("Date", "today")], body, None, 0)
    other = completed([*fields, ("Date", "tomorrow")], body, None, 0)
    assert key(mail) != key(other)
    assert known(mail) == any(name == "Message-ID" and value for name, value in fields)


def attempt(text: str, queue_id: str = "4F1A2B3C4D") -> Mail:
    mail = completed([], b"", queue_id, 0)
    return replace(mail, octets=text.replace("\n", "\r\n").encode() + b"\r\nbody\r\n")


@pytest.mark.parametrize(("text", "yes"), [
    ("Date: yesterday\nMessage-ID: <a@b>\nSubject: x\n", True),
    ("Date: yesterday\nSubject: x\nMessage-Id: <20261124.4F1A2B3C4D@mx>\n", False),
    ("Message-ID: <a@b>\nSubject: x\nDate: perhaps Postfix's\n", False),
    ("Message-ID: <a@b>\nDate: perhaps Postfix's\nTo: x\n", False),
    ("Date: x\nMessage-ID: <about-4F1A2B3C4DE@b>\nSubject: x\n", True),
    ("Date: x\nSubject: x\n", False),
    ("Date: x\nMessage-ID: \nSubject: x\n", False),
])
def test_who_is_told_by_its_author(text: str, *, yes: bool) -> None:
    assert known(attempt(text)) is yes


def test_a_date_of_the_author_counts_where_the_message_id_is_postfix() -> None:
    """Hourly notices of a program that writes a Date and no Message-ID are as many mails as there are hours."""
    first = attempt("Date: 10:00\nSubject: alive\nMessage-Id: <20261124.4F1A2B3C4D@mx>\n")
    second = attempt("Date: 11:00\nSubject: alive\nMessage-Id: <20261124.5F1A2B3C4D@mx>\n", "5F1A2B3C4D")
    assert key(first) != key(second)


def test_what_filters_write_is_not_the_mail() -> None:
    one = attempt("X-Spam-Score: 1.2\nX-Rspamd-Queue-Id: 4F1A2B3C4D\nSubject: x\nDate: d\nMessage-ID: <a@b>\nX: y\n")
    two = attempt("X-Spam-Score: 1.3\nX-Rspamd-Queue-Id: 5F1A2B3C4D\nSubject: x\nDate: d\nMessage-ID: <a@b>\nX: y\n",
                  "5F1A2B3C4D")
    assert key(one) == key(two)
    assert known(one)
