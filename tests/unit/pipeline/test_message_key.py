"""Two mails with the same octets are one mail only if client, sender and direction are the same."""

from dataclasses import replace

import pytest

from gateway.mime.header import parse_headers
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.pipeline.message_key import message_key
from tests.support.pki import NOW

OCTETS = b"Message-ID: <1@bank.example>\r\nFrom: otp@bank.example\r\n\r\nx\r\n"
ORIGIN = Origin(ours=True, client="online-banking", received_at=NOW, incident="12ab", queue_id="4cABCDEFGHz1")
MAIL = Mail(OCTETS, Envelope("otp@bank.example", (Recipient("anna@customer.example"),)), ORIGIN)


def key(mail: Mail, way: str = "outbound") -> str:
    return message_key(mail, parse_headers(mail.octets), way)


@pytest.mark.parametrize("other", [
    replace(MAIL, origin=replace(ORIGIN, client="core-banking")),
    replace(MAIL, origin=replace(ORIGIN, queue_id="4cABCDEFGHz2")),
    replace(MAIL, origin=replace(ORIGIN, held_as="h1")),
    replace(MAIL, envelope=replace(MAIL.envelope, reverse_path="staff@bank.example")),
    replace(MAIL, octets=OCTETS + b"y\r\n"),
], ids=["client", "queue id", "out of the hold store", "reverse-path", "body"])
def test_another_mail_has_another_key(other: Mail) -> None:
    """Else the journal takes it for a retry of the first one, and it is not delivered."""
    assert key(other) != key(MAIL)


def test_the_direction_is_part_of_the_key() -> None:
    assert key(MAIL, "inbound") != key(MAIL)


def test_a_retry_at_another_time_has_the_same_key() -> None:
    assert key(replace(MAIL, origin=replace(ORIGIN, incident="34cd"))) == key(MAIL)
