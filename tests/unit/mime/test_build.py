"""What we build, read by the standard library. Truth: RFC 3464, RFC 6522."""

import email
import email.policy
from datetime import UTC, datetime

from gateway.mime.build import Status, date_field, leaf, message, multipart, report, text, wrap_rfc822
from gateway.mime.canonical import is_seven_bit, seven_bit
from gateway.mime.words import encode_unstructured
from tests.support import mails

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_a_message_with_everything():
    body = multipart(
        "mixed",
        [
            text("Grüße\nzweite Zeile"),
            leaf("application/pdf", b"%PDF" + bytes(500), filename="Auszüge.pdf"),
            leaf("text/csv", b"a;b\r\n", params={"charset": "utf-8"}, encoding="7bit", disposition="inline"),
            wrap_rfc822(seven_bit(mails.umlauts()), filename="original.eml"),
        ],
    )
    octets = message([encode_unstructured("Subject", "Prüfung"), date_field(AT)], body)
    assert is_seven_bit(octets)
    read = email.message_from_bytes(octets, policy=email.policy.default)
    assert read["subject"] == "Prüfung"
    assert read["date"].datetime == AT
    first, pdf, csv, original = read.iter_parts()
    assert first.get_content() == "Grüße\r\nzweite Zeile\r\n"
    assert pdf.get_filename() == "Auszüge.pdf"
    assert pdf.get_content() == b"%PDF" + bytes(500)
    assert csv.get_content_disposition() == "inline"
    assert original.get_content()["subject"] == "Grüße aus Köln"


def test_a_delivery_report_returns_headers_and_no_body():
    original = mails.HEADER + b"X-Long: " + b"x" * 2000 + b"\r\nX-Raw: \xe4\r\n\r\nthe secret body\r\n"
    octets = message(
        [b"From: <>\r\n"],
        report(
            "Nicht zugestellt.",
            "mx.bank.example",
            [
                Status("bob@customer.example", "failed", "5.7.5", "550 5.7.5 no usable certificate"),
                Status(
                    "eve@customer.example",
                    "failed",
                    "5.1.1",
                    remote="mx.customer.example",
                    original="rfc822;eve@c.example",
                ),
            ],
            original,
            arrived_at=AT,
            envelope_id="e1",
        ),
    )
    assert is_seven_bit(octets)
    assert b"secret body" not in octets
    read = email.message_from_bytes(octets, policy=email.policy.default)
    assert read.get_content_type() == "multipart/report"
    assert read.get_param("report-type") == "delivery-status"
    told, status, headers = read.iter_parts()
    assert told.get_content() == "Nicht zugestellt.\r\n"
    groups = [dict(group.items()) for group in status.get_payload()]
    assert groups[0]["Reporting-MTA"] == "dns; mx.bank.example"
    assert groups[0]["Original-Envelope-Id"] == "e1"
    assert groups[1]["Final-Recipient"] == "rfc822; bob@customer.example"
    assert groups[1]["Status"] == "5.7.5"
    assert groups[1]["Diagnostic-Code"] == "smtp; 550 5.7.5 no usable certificate"
    assert groups[2]["Original-Recipient"] == "rfc822;eve@c.example"
    assert headers.get_content_type() == "text/rfc822-headers"
    assert "Subject: Your statement" in headers.get_content()


def test_boundaries_are_never_the_same():
    assert multipart("mixed", []) != multipart("mixed", [])
