"""Delivery reports: what RFC 3464 shows, what Postfix writes, and what nobody may write.

The first two are the example D.1 of the RFC and a bounce of Postfix 3.10 as it arrived (tests/e2e/test_bounces.py has
Postfix write new ones); `mime.build.report` and the reader hold each other to the same grammar.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.mime import dsn
from gateway.mime.build import Status, message, report
from gateway.mime.dsn import Reported, read_report
from gateway.mime.entity import parse_entity

RFC_3464_D_1 = b"""\
From: Mail Delivery Subsystem <MAILER-DAEMON@CS.UTK.EDU>
Subject: Returned mail: Cannot send message for 5 days
To: <owner-info-mime@cs.utk.edu>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
      boundary="RAA14128.773615765/CS.UTK.EDU"

--RAA14128.773615765/CS.UTK.EDU

   The original message was received at Sat, 2 Jul 1994 17:10:28
   -0400 from root@localhost

--RAA14128.773615765/CS.UTK.EDU
content-type: message/delivery-status

Reporting-MTA: dns; cs.utk.edu

Original-Recipient: rfc822;louisl@larry.slip.umd.edu
Final-Recipient: rfc822;louisl@larry.slip.umd.edu
Action: failed
Status: 4.0.0
Diagnostic-Code: smtp; 426 connection timed out
Last-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400

--RAA14128.773615765/CS.UTK.EDU
content-type: message/rfc822

[original message goes here]

--RAA14128.773615765/CS.UTK.EDU--
""".replace(b"\n", b"\r\n")

POSTFIX = b"""\
Content-Type: multipart/report; report-type=delivery-status; boundary="b/m.example"

--b/m.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host m.example.

--b/m.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; m.example
X-Postfix-Queue-ID: 4bVn3T0Z1zz
X-Postfix-Sender: rfc822; codes+7.aaaaaaaaaaaaaaaa@bank.example
Arrival-Date: Thu, 26 Nov 2026 20:00:00 +0000 (UTC)

Final-Recipient: rfc822; anna@customer.example
Original-Recipient: rfc822;anna@customer.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.customer.example
Diagnostic-Code: smtp; 550 5.1.1 <anna@customer.example>: Recipient address
    rejected: User unknown

--b/m.example
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

Subject: [...]
--b/m.example--
""".replace(b"\n", b"\r\n")


def read(octets: bytes) -> dsn.Report | None:
    return read_report(parse_entity(octets))


def test_the_example_of_the_rfc() -> None:
    assert read(RFC_3464_D_1) == dsn.Report((Reported(
        "louisl@larry.slip.umd.edu", "failed", "4.0.0", "426 connection timed out"),), "")


def test_a_bounce_of_postfix() -> None:
    assert read(POSTFIX) == dsn.Report((Reported(
        "anna@customer.example", "failed", "5.1.1",
        "550 5.1.1 <anna@customer.example>: Recipient address rejected: User unknown"),), "")


def test_a_report_that_does_not_say_of_what() -> None:
    """As the X.400 gateways of old and some small servers write them (the collection of flufl.bounce has two)."""
    assert read(POSTFIX.replace(b"report-type=delivery-status; ", b"")) == read(POSTFIX)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200).map(lambda one: " ".join(one.split()))


@given(st.lists(st.tuples(st.sampled_from(["failed", "delayed", "delivered", "relayed", "expanded"]),
                          st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True), TEXT.filter(bool)),
                min_size=1, max_size=20))
def test_what_we_write_is_read(rows: list[tuple[str, str, str]]) -> None:
    statuses = [Status(f"a{number}@b.example", action, status, said)  # type: ignore[arg-type]
                for number, (action, status, said) in enumerate(rows)]
    found = read(message((), report("words", "gw.bank.example", statuses, b"Subject: x\r\n\r\n", envelope_id="QQ314")))
    assert found is not None
    assert found.envelope_id == "QQ314"
    assert [(one.recipient, one.action, one.status) for one in found.recipients] == [
        (f"a{number}@b.example", action, status) for number, (action, status, _) in enumerate(rows)]


@pytest.mark.parametrize("octets", [
    b"Subject: hi\r\n\r\nDelivery failed, believe me\r\n",
    b"Content-Type: multipart/report; report-type=disposition-notification; boundary=x\r\n\r\n--x\r\n\r\n--x--\r\n",
    b"Content-Type: message/delivery-status\r\n\r\n" + POSTFIX,
    POSTFIX.replace(b"report-type=delivery-status; ", b"").replace(b"message/delivery-status", b"text/plain")])
def test_what_does_not_say_that_it_is_a_report_is_none(octets: bytes) -> None:
    assert read(octets) is None


@pytest.mark.parametrize(("before", "after"), [
    (b"Status: 5.1.1\r\n", b""),
    (b"Status: 5.1.1", b"Status: 5.1.1\r\nStatus: 2.0.0"),
    (b"Status: 5.1.1", b"Status: 550"),
    (b"Status: 5.1.1", b"Status: 3.1.1"),
    (b"Status: 5.1.1", b"Status: 5.1.1.1"),
    (b"Status: 5.1.1", "Status: 5.1.\N{ARABIC-INDIC DIGIT ONE}".encode()),
    (b"Status: 5.1.1", b"Status: 5.1. 1"),
    (b"Status: 5.1.1", b"Status: 5.1.1 and so on"),
    (b"Action: failed", b"Action: fail"),
    (b"Action: failed", b"Action: failed\r\nAction: delivered"),
    (b"Action: failed\r\n", b""),
    (b"Final-Recipient: rfc822; anna", b"Final-Recipient: anna"),
    (b"Final-Recipient: rfc822; anna@customer.example\r\n", b""),
    (b"Reporting-MTA: dns; m.example\r\n", b""),
    (b"Content-Type: message/delivery-status", b"Content-Type: text/plain"),
    (b"\r\n\r\nFinal-Recipient", b"\r\nFinal-Recipient"),
    (b"Remote-MTA: dns; mx.customer.example", b"no field at all"),
    (b"Content-Description: Delivery report", b"\r\n--b/m.example\r\n\r\n--b/m.example\r\n"),
])
def test_a_report_that_breaks_the_grammar_is_refused(before: bytes, after: bytes) -> None:
    assert before in POSTFIX
    with pytest.raises(GatewayError) as caught:
        read(POSTFIX.replace(before, after, 1))
    assert caught.value.reason is Reason.MAIL_MALFORMED


@pytest.mark.parametrize("written", [
    b"Status: 5.1.1 (no such user)", b"status:5.1.1", b"Status: 5.1.1 ", b"Status:\r\n 5.1.1"])
def test_what_the_grammar_allows_is_read(written: bytes) -> None:
    found = read(POSTFIX.replace(b"Status: 5.1.1", written))
    assert found is not None
    assert found.recipients[0].status == "5.1.1"


def test_nothing_of_a_stranger_reaches_a_log_as_it_is() -> None:
    hostile = "550 \x1b[2J\u202e".encode() + b"\xff" + b"x" * 5000
    found = read(POSTFIX.replace(b"550 5.1.1 <anna", hostile + b"<anna"))
    assert found is not None
    said = found.recipients[0].diagnostic
    assert len(said) == dsn.TEXT_CHARACTERS_MAX
    assert all(" " <= letter <= "~" for letter in said)


def with_groups(count: int) -> bytes:
    return message((), report("", "m", [Status("a@b.example", "failed", "5.0.0")] * count, None))


def test_the_number_of_recipients_has_a_bound() -> None:
    found = read(with_groups(dsn.RECIPIENTS_MAX))
    assert found is not None
    assert len(found.recipients) == dsn.RECIPIENTS_MAX
    with pytest.raises(GatewayError) as caught:
        read(with_groups(dsn.RECIPIENTS_MAX + 1))
    assert caught.value.reason is Reason.INPUT_LIMIT_EXCEEDED


@pytest.mark.parametrize("padding", [
    b"X: " + b"y" * dsn.STATUS_OCTETS_MAX, b"\r\n" * dsn.STATUS_OCTETS_MAX,
    b"\r\n".join([b"X: y"] * (dsn.FIELDS_MAX + 1))])
def test_its_octets_and_fields_have_bounds(padding: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read(POSTFIX.replace(b"Remote-MTA", padding + b"\r\nRemote-MTA"))
    assert caught.value.reason is Reason.INPUT_LIMIT_EXCEEDED
