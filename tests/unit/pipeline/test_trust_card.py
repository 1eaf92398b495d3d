"""The trust card: bound to one message, one time, its recipients. The relaxed form is RFC 6376's own example."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.demo import openssl
from gateway.errors import GatewayError, Reason
from gateway.model.verdict import (
    DecryptionVerdict,
    HeadersShown,
    SignatureVerdict,
    SignerVerdict,
    Status,
    Trust,
    Verdicts,
)
from gateway.pipeline.inbound.status import status_fields
from gateway.pipeline.inbound.trust_card import CardIssuer, read, relaxed_body, thumbprint
from tests.support.bank import Context

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ISSUER = CardIssuer(
    "gateway.bank.example", thumbprint(PUBLIC), lambda octets: KEY.sign(octets, ec.ECDSA(hashes.SHA256())), 3600
)
VERDICTS = Verdicts(
    (), DecryptionVerdict("not_encrypted"), SignatureVerdict(Status.NOT_SIGNED), HeadersShown(), Trust.UNKNOWN
)
MAIL = (
    b"From: anna@customer.example\r\nSubject: A  question\r\nX-A: 1\r\nContent-Type: text/plain; boundary=a\r\n"
    b"\r\nPlease  pay 5 EUR \r\n\r\n"
)


def carded(octets: bytes = MAIL) -> bytes:
    return ISSUER.field(octets, VERDICTS, ("Support@bank.example",), NOW) + octets


def refused(octets: bytes, at: datetime = NOW, recipient: str | None = None, public: bytes = PUBLIC) -> Reason:
    with pytest.raises(GatewayError) as caught:
        read(octets, public, at, recipient)
    return caught.value.reason


def test_a_card_says_what_was_judged() -> None:
    claims = read(carded(), PUBLIC, NOW, "support@BANK.example")
    assert (claims["iss"], claims["verdict"], claims["signature"]) == ("gateway.bank.example", "unknown", "not_signed")


def test_what_mail_servers_do_to_spaces_and_other_fields_does_no_harm() -> None:
    moved = carded().replace(b"X-A: 1", b"X-A: 2\r\nReceived: from x").replace(b"5 EUR \r\n\r\n", b"5  EUR\r\n\r\n\r\n")
    read(moved.replace(b"Subject: A  question", b"subject:\tA\r\n  question"), PUBLIC, NOW)


@pytest.mark.parametrize(
    ("old", "new"), [(b"5 EUR", b"9 EUR"), (b"question", b"order"), (b"anna@", b"eve@"), (b"boundary=a", b"boundary=b")]
)
def test_another_message_is_not_the_cards(old: bytes, new: bytes) -> None:
    assert refused(carded().replace(old, new)) is Reason.SIGNATURE_ALTERED


@pytest.mark.parametrize("more", [b"From: eve@elsewhere.example\r\n", b"Subject: An order\r\n", b"To: x@y.example\r\n"])
def test_a_second_field_of_a_name_is_another_message(more: bytes) -> None:
    """Readers show the first, signers often bind the last (RFC 6376 8.15)."""
    assert refused(more + carded()) is Reason.SIGNATURE_ALTERED
    assert refused(carded().replace(b"X-A: 1\r\n", more)) is Reason.SIGNATURE_ALTERED


@pytest.mark.parametrize("name", [
    "Reply-To", "Cc", "Sender", "Mail-Reply-To", "Mail-Followup-To", "In-Reply-To", "References", "To", "Date",
    "Message-ID", "Content-Transfer-Encoding", "reply-to", "CC "])
def test_a_field_that_is_added_later_is_another_message(name: str) -> None:
    """Attack: after the gateway a Reply-To is added, and the back office answers to it under a valid card."""
    more = f"{name}: eve@elsewhere.example\r\n".encode()
    assert refused(more + carded()) is Reason.SIGNATURE_ALTERED
    assert refused(carded().replace(b"X-A: 1\r\n", more)) is Reason.SIGNATURE_ALTERED


def test_a_strangers_certificate_does_not_swell_the_card() -> None:
    emails = tuple(f"a{number}@customer.example" for number in range(3000))
    signer = SignerVerdict(0, Status.VALID, None, subject="CN=" + "x" * 60_000, emails=emails)
    told = replace(VERDICTS, signature=SignatureVerdict(Status.VALID, None, "whole", "signed_only", (signer,)))
    octets = ISSUER.field(MAIL, told, ("support@bank.example",), NOW) + MAIL
    assert len(octets) < 4_000
    assert read(octets, PUBLIC, NOW)["signer"]["emails"] == list(emails[:8])
    assert len(b"".join(status_fields("gateway.bank.example", told))) < 2_000


def test_every_octet_of_a_card_counts() -> None:
    octets = carded()
    start = octets.index(b"\r\n ") + 3
    end = octets.index(b"\r\nFrom:")
    for position in range(start, end, 7):
        if octets[position : position + 1].isspace():
            continue
        other = b"A" if octets[position : position + 1] != b"A" else b"B"
        changed = octets[:position] + other + octets[position + 1 :]
        if position < end - 1:  # the last character of base64 may carry unused bits
            assert refused(changed) in (Reason.SIGNATURE_ALTERED, Reason.SIGNATURE_MALFORMED)


def test_time_recipient_key_and_number() -> None:
    assert refused(carded(), NOW + timedelta(hours=1)) is Reason.SIGNATURE_EXPIRED
    assert refused(carded(), NOW - timedelta(seconds=1)) is Reason.SIGNATURE_EXPIRED
    assert refused(carded(), recipient="other@bank.example") is Reason.RECIPIENT_UNKNOWN
    assert refused(MAIL) is Reason.SIGNATURE_NOT_SIGNED
    assert refused(carded(carded())) is Reason.SIGNATURE_NOT_SIGNED
    assert refused(b"Sealgate-Trust-Card: a.b\r\n" + MAIL) is Reason.SIGNATURE_MALFORMED
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert (
        refused(carded(), public=other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        is Reason.SIGNATURE_ALTERED
    )


def test_blind_copies_do_not_read_each_other() -> None:
    assert b"support" not in carded().lower().split(b"\r\nfrom:")[0]


@pytest.mark.parametrize(
    ("body", "relaxed"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 3.4.5
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b"a", b"a\r\n"),
    ],
)
def test_relaxed_bodies(body: bytes, relaxed: bytes) -> None:
    for octets in (1, 7, 1 << 20):
        assert b"".join(relaxed_body(body, 0, octets)) == relaxed


def test_the_relaxed_form_does_not_depend_on_where_it_is_cut() -> None:
    draw = Random(0)
    for _ in range(300):
        body = b"".join(draw.choices((b" ", b"\t", b"\r\n", b"\n", b"\r", b"a", b"bc"), k=draw.randrange(40)))
        whole = b"".join(relaxed_body(body))
        assert {b"".join(relaxed_body(body, 0, octets)) for octets in range(1, 9)} == {whole}


def test_the_gateway_puts_one_on_what_it_delivers(bank: Context) -> None:
    question = openssl.sign(b"Content-Type: text/plain\r\n\r\nhello\r\n", bank.bank.people["anna"])
    forged = b"Sealgate-Trust-Card: a.b.c\r\nFrom: anna@customer.example\r\nSubject: x\r\n" + question
    bank.gateway.handle(bank.receive(forged, "support@bank.example"))
    delivered = bank.inbound.octets_for("support@bank.example")
    public = bank.gateway.keys.public("trust:card").public
    claims = read(delivered, public, datetime.now(UTC), "support@bank.example")
    assert claims["verdict"] == "trusted"
    assert claims["signer"]["emails"] == ["anna@customer.example"]
