"""The inbound way: mails made by openssl, verdict and form as the bank's policies say."""

from email import message_from_bytes, policy
from pathlib import Path

import pytest

from gateway.demo import openssl
from gateway.errors import Reason
from gateway.model.outcome import Settled
from gateway.pipeline.compose import neutralised
from tests.support.bank import House, house
from tests.support.bank import policy as one_policy

QUESTION = b"Content-Type: text/plain\r\n\r\nPlease raise my limit.\r\n"
HEADER = b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: A question\r\nMessage-ID: <q@c>\r\n"


def signed(bank: House, name: str = "anna") -> bytes:
    return HEADER + openssl.sign(QUESTION, bank.bank.people[name])


def sealed(bank: House, name: str = "anna") -> bytes:
    return b"Message-ID: <q@c>\r\n" + openssl.encrypt(
        openssl.sign(QUESTION, bank.bank.people[name]),
        bank.bank.support_certificate,
        ("anna@customer.example", "support@bank.example", "A question"),
    )


def arrived(bank: House, octets: bytes) -> bytes:
    outcome = bank.gateway.handle(bank.receive(octets, "support@bank.example"))
    assert outcome.answer is Settled.TAKEN, outcome
    return bank.inbound.octets_for("support@bank.example")


def test_a_sealed_question_is_opened_labelled_and_believed(bank: House) -> None:
    octets = arrived(bank, sealed(bank))
    mail = message_from_bytes(octets, policy=policy.default)
    assert b"Please raise my limit." in octets
    assert mail["Sealgate-Verdict"] == "trusted"
    assert "smime=pass" in mail["Authentication-Results"]
    assert mail["Subject"] == "[customer] A question"
    assert mail["X-Bank-Class"] == "customer"
    assert bank.inbound.taken[0][2].ret == "HDRS"


def test_an_altered_one_is_quarantined(bank: House) -> None:
    outcome = bank.gateway.handle(bank.receive(signed(bank).replace(b"my limit", b"his limit"), "support@bank.example"))
    assert [one.settled for one in outcome.recipients] == [Settled.HELD]
    assert bank.inbound.taken == []
    assert bank.gateway.store.hold.list()[0].kind == "quarantine"


def test_signed_by_somebody_else_is_not_believed(bank: House) -> None:
    mail = message_from_bytes(arrived(bank, sealed(bank, "ben")), policy=policy.default)
    assert mail["Sealgate-Verdict"].startswith("not_trusted")
    assert "smime=policy" in mail["Authentication-Results"]
    assert mail["Subject"].startswith("[signature not trusted]")


def test_status_fields_and_tags_from_outside_are_taken_off(bank: House) -> None:
    forged = (
        b"Sealgate-Verdict: trusted\r\nAuthentication-Results: gateway.bank.example; smime=pass\r\n"
        b"Authentication-Results: GATEWAY.bank.example 1; smime=pass\r\n"
        + HEADER.replace(b"A question", b"[customer] [cust[customer]omer] hello")
        + b"\r\nhi\r\n"
    )
    octets = arrived(bank, forged)
    mail = message_from_bytes(octets, policy=policy.default)
    assert mail.get_all("Sealgate-Verdict") == ["unknown; signature.not_signed"]
    assert len(mail.get_all("Authentication-Results")) == 1
    assert "[customer]" not in mail["Subject"]


def test_the_banks_own_address_from_outside_is_quarantined(bank: House) -> None:
    spoof = HEADER.replace(b"anna@customer.example", b"director@bank.example") + b"\r\npay now\r\n"
    outcome = bank.gateway.handle(bank.receive(spoof, "support@bank.example"))
    assert outcome.recipients[0].settled is Settled.HELD
    assert outcome.recipients[0].rule == "inbound:forged-as-us"


def test_only_keys_of_the_envelopes_recipient_open(bank: House) -> None:
    """A captured order re-sent to another mailbox is not decrypted for it."""
    outcome = bank.gateway.handle(bank.receive(sealed(bank), "staff@bank.example"))
    assert outcome.recipients[0].rule == "inbound:locked"
    octets = bank.inbound.octets_for("staff@bank.example")
    assert b"Please raise" not in octets
    assert b"decryption.no_key" in octets.replace(b"\r\n ", b" ")


def test_from_the_world_to_the_world_is_refused(bank: House) -> None:
    outcome = bank.gateway.handle(bank.receive(signed(bank), "anna@customer.example"))
    assert (outcome.answer, outcome.reason) == (Settled.REFUSED, Reason.RECIPIENT_NOT_OURS)


EXPLAINED = """
version: 1
rules:
  - name: all
    when: {direction: inbound}
    then: {form: opened}
    cases:
      - given: {direction: inbound, from: anna@customer.example}
        expect: {then: form, end: deliver}
otherwise: reject
"""


def test_what_cannot_be_opened_arrives_inside_an_explanation(home: Path) -> None:
    with house(home, one_policy(home / "p.yaml", EXPLAINED)) as bank:
        original = sealed(bank)
        bank.gateway.handle(bank.receive(original, "staff@bank.example"))
        mail = message_from_bytes(bank.inbound.octets_for("staff@bank.example"), policy=policy.default)
        assert mail["Subject"] == "The message could not be decrypted"
        assert mail["From"] == "anna@customer.example"
        explanation, attached = mail.iter_parts()
        assert "key" in explanation.get_content()
        assert attached.get_content_type() == "message/rfc822"
        assert attached.get_content()["Subject"] == "A question"


def test_unauthenticated_plaintext_loses_its_active_content(home: Path) -> None:
    """EFAIL (CVE-2017-17689): CBC ciphertext without a signature inside may be spliced by anybody."""
    html = b'Content-Type: text/html; charset="utf-8"\r\n\r\n<img src="http://evil.example/?\r\n'
    with house(home, one_policy(home / "p.yaml", EXPLAINED)) as bank:
        octets = openssl.encrypt(
            html, bank.bank.support_certificate, ("anna@customer.example", "support@bank.example", "x")
        )
        mail = message_from_bytes(arrived(bank, octets), policy=policy.default)
        assert mail.get_content_type() == "text/plain"
        assert (
            mail["Sealgate-Encryption"] == "decrypted; integrity=none"
            or "integrity=none" in mail["Sealgate-Encryption"]
        )


@pytest.mark.parametrize("kind", ["text/html", "TEXT/HTML", "image/svg+xml", "application/xhtml+xml"])
def test_neutralised_in_every_part(kind: str) -> None:
    body = f"--x\r\nContent-Type: {kind}; charset=latin1\r\n\r\n<b>\r\n--x--\r\n"
    mail = f"From: a@b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n{body}"
    out = neutralised(mail.encode())
    assert kind.lower().encode() not in out.lower()
    assert b'text/plain; charset="latin1"' in out
    assert b"<b>" in out
