"""Facts of a message that rules rely on to let mail leave as it is."""

import base64
from dataclasses import replace

import pytest

from gateway.demo import openssl
from gateway.model.outcome import Settled
from gateway.pipeline.facts import STATUS_OCTETS_MAX, Message, shown_addresses
from tests.support import mails
from tests.support.bank import Context
from tests.unit.smime.test_already import PGP

US = "director@bank.example"
TEXT = b"Content-Type: text/plain\r\n\r\nThe limit is 4711.\r\n"


def already(bank: Context, octets: bytes) -> frozenset[str]:
    message = b"From: staff@bank.example\r\n" + octets
    return Message.of(bank.send(message, "anna@customer.example"), bank.gateway.context).facts.already


def relabelled(octets: bytes, smime_type: bytes) -> bytes:
    return octets.replace(b"smime-type=enveloped-data", smime_type).replace(b"smime-type=signed-data", smime_type)


def test_authentication_results_count_only_of_a_trusted_peer(bank: Context) -> None:
    """A client of the bank may bring results of its own, which are removed only when the mail leaves (RFC 8601 5)."""
    known = bank.gateway.context
    octets = b"Authentication-Results: filter.bank.example; dmarc=pass\r\nFrom: staff@bank.example\r\n" + TEXT
    mail = bank.send(octets, "anna@customer.example")
    for trusted, found in ((False, {}), (True, {"dmarc": "pass"})):
        context = replace(known, peer_is_trusted=lambda listener, peer, trusted=trusted: trusted)
        assert Message.of(mail, context).facts.authentication == found


def test_a_label_alone_makes_nothing_encrypted(bank: Context) -> None:
    """Clear text that says it is sealed would leave by the rule for mail that is."""
    for label in (b"enveloped-data", b"compressed-data", b"authEnveloped-data"):
        for name in (b"pkcs7-mime", b"x-pkcs7-mime"):
            header = b"Content-Type: application/" + name + b"; smime-type=" + label + b"\r\n"
            assert already(bank, header + b"\r\nThe limit is 4711.\r\n") == frozenset()
            encoded = b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(b"4711 " * 40)
            assert already(bank, header + encoded) == frozenset()
    assert (
        already(bank, b"Content-Type: multipart/encrypted; boundary=p\r\n\r\n--p\r\n\r\n4711\r\n--p--\r\n")
        == frozenset()
    )
    assert already(bank, PGP + b"The limit is 4711.\r\n--p--\r\n") == frozenset()
    assert already(bank, TEXT) == frozenset()


def test_an_envelopes_beginning_is_no_envelope(bank: Context) -> None:
    assert already(bank, mails.encrypted_already().partition(b"\r\n")[2]) == frozenset()


@pytest.mark.parametrize("label", [b"smime-type=enveloped-data", b"smime-type=signed-data", b"x=y"])
def test_what_is_encrypted_is_however_it_is_labelled(bank: Context, label: bytes) -> None:
    sealed = openssl.encrypt(TEXT, bank.bank.support_certificate, ("a@b.example", "c@d.example", "x"))
    body = sealed[sealed.index(b"MIME-Version") :]
    assert already(bank, relabelled(body, label)) == {"encrypted"}
    vague = body.replace(b"application/pkcs7-mime", b"application/octet-stream")
    assert already(bank, relabelled(vague, label)) == {"encrypted"}


def test_openpgp(bank: Context) -> None:
    assert already(bank, PGP + mails.PGP_MESSAGE + b"--p--\r\n") == {"encrypted"}


def test_signed(bank: Context) -> None:
    assert already(bank, openssl.sign(TEXT, bank.bank.people["anna"])) == {"signed"}


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        (f"From: {US}", True),
        (f"From: eve@elsewhere.example, {US}", True),
        # Readers are shown it: alone, or "on behalf of" the From.
        (f"Sender: {US}", True),
        (f"From: eve@elsewhere.example\r\nSender: {US}", True),
        (f"From: eve@elsewhere.example\r\nSender: <{US}", True),
        # What programs make one domain of (UTS 46).
        ("From: director@\uff42ank.example", True),
        ("From: director@bank\u3002example", True),
        ("From: director@BA\u00adNK.Example", True),
        ("From: director@ban\u212a.example", True),
        ("From: eve@elsewhere.example\r\nSender: not an address", False),
        ("From: eve@bank.example.elsewhere.example", False),
        ("From: eve@otherbank.example", False),
        # A From that is no address list: readers show its text.
        (f"From: <{US}", True),
        (f"From: {US} <eve@elsewhere.example>, me", True),
        (f"From: root, {US}", True),
        ("From: <@relay.example:director@bank.example>", True),
        ("From: =?utf-8?q?director=40bank.example?= <me>", True),
        ("From: Director (director@(x)Bank.Example", True),
        ("From: <director@b\u00e4nk.example", False),
        ("From: <MAILER-DAEMON>", False),
        ("From: me", False),
    ],
)
def test_who_claims_to_be_us(bank: Context, header: str, claims: bool) -> None:
    mail = bank.receive(header.encode() + b"\r\n\r\nhi\r\n", "support@bank.example", sender="eve@elsewhere.example")
    assert Message.of(mail, bank.gateway.context).facts.spoofs_us is claims


@pytest.mark.parametrize("ours", ["stra\u00dfe.example", "xn--strae-oqa.example", "STRA\u1e9eE.example"])
@pytest.mark.parametrize("header", [
    "From: a@stra\u00dfe.example", "From: a@xn--strae-oqa.example", "From: STRA\u1e9eE <a@stra\u1e9ee.example>",
    'From: "a@stra\u00dfe.example" <eve@elsewhere.example>'])
def test_a_domain_with_sharp_s_is_claimed_in_each_spelling(bank: Context, ours: str, header: str) -> None:
    context = replace(bank.gateway.context, identity=replace(bank.gateway.context.identity, domains=frozenset({ours})))
    mail = bank.receive(header.encode() + b"\r\n\r\nhi\r\n", "support@bank.example", sender="eve@elsewhere.example")
    assert Message.of(mail, context).facts.spoofs_us


@pytest.mark.parametrize(
    ("header", "address", "why"),
    [
        ("From: anna@customer.example", "anna@customer.example", None),
        ("Subject: x", None, "none"),
        ("From:", None, "none"),
        ("From: <MAILER-DAEMON>", None, "ambiguous"),
        ("From: <root>", None, "ambiguous"),
        ("From: me", None, "ambiguous"),
        ("From: a@b.example, c@d.example", None, "ambiguous"),
        ("From: a@b.example\r\nFrom: a@b.example", None, "ambiguous"),
        ("From: s..palmer@x.example", None, "ambiguous"),
    ],
)
def test_a_from_that_is_no_mailbox_is_a_fact_and_refuses_nothing(
    bank: Context, header: str, address: str | None, why: str | None
) -> None:
    mail = bank.receive(header.encode() + b"\r\n\r\nhi\r\n", "support@bank.example", sender="")
    facts = Message.of(mail, bank.gateway.context).facts
    assert (facts.from_, facts.no_from) == (address, why)
    assert bank.gateway.handle(mail).answer is Settled.TAKEN


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("root", set()),
        ("noone, anna@customer.example", {"anna@customer.example"}),
        ("s..palmer@x.example, Anna <anna@customer.example>", {"anna@customer.example"}),
        ("a@b.example <c@d.example>, e@f.example", {"e@f.example"}),
        ("Friends: anna@customer.example, b@c.example", {"anna@customer.example", "b@c.example"}),
        ("undisclosed-recipients:", set()),
        ("anna@customer.example: b@c.example;", {"b@c.example"}),
        ('"unfinished, anna@customer.example', set()),
    ],
)
def test_what_cannot_be_read_in_to_and_cc_counts_as_not_shown(bank: Context, field: str, shown: set[str]) -> None:
    for name in ("To", "Cc"):
        octets = f"From: otp@bank.example\r\n{name}: {field}\r\nSubject: x\r\n\r\nhi\r\n".encode()
        mail = bank.send(octets, "anna@customer.example")
        assert shown_addresses(Message.of(mail, bank.gateway.context)) == shown
        assert bank.gateway.handle(mail).answer is Settled.TAKEN


def kind(bank: Context, *parts: bytes, report: bytes = b"delivery-status",
         beside: tuple[bytes, bytes] = (b"", b"")) -> str:
    body = beside[0] + b"".join(b"--r\r\n" + part for part in parts) + b"--r--\r\n" + beside[1]
    octets = (b"From: staff@bank.example\r\nContent-Type: multipart/report; boundary=r; report-type=" + report
              + b"\r\n\r\n" + body)
    return Message.of(bank.send(octets, "anna@customer.example"), bank.gateway.context).facts.kind


WORDS = b"Content-Type: text/plain\r\n\r\nIt did not arrive.\r\n"
STATUS = b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\n"
MAIL = b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nThe limit is 4711.\r\n"


def test_reports(bank: Context) -> None:
    """RFC 6522 3: text for people, the status, at most one part of the mail that came back."""
    html = b"Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n"
    assert kind(bank, WORDS, STATUS) == "dsn"
    assert kind(bank, html, STATUS, MAIL) == "dsn"
    assert kind(bank, WORDS, STATUS, b"Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n") == "dsn"
    receipt = STATUS.replace(b"delivery-status", b"disposition-notification")
    assert kind(bank, WORDS, receipt, report=b"disposition-notification") == "mdn"


def test_what_is_as_long_as_a_mail_is_no_report(bank: Context) -> None:
    """Attack: [seal] mail of the null sender whose content is in the status, or beside the parts."""
    text = b"The limit is 4711.\r\n"
    fields = b"\r\nFinal-Recipient: rfc822; a%d@b.example\r\nStatus: 5.1.1\r\n"
    several = STATUS + b"".join(fields % number for number in range(100))
    assert kind(bank, WORDS, several) == "dsn"
    assert kind(bank, WORDS, STATUS + text * (STATUS_OCTETS_MAX // len(text))) == "auto_reply"
    notice = b"This is a MIME-encapsulated message.\r\n"
    assert kind(bank, WORDS, STATUS, beside=(notice, notice)) == "dsn"
    assert kind(bank, WORDS, STATUS, beside=(text * 60, b"")) == "auto_reply"
    assert kind(bank, WORDS, STATUS, beside=(b"", text * 60)) == "auto_reply"


@pytest.mark.parametrize("parts", [
    (), (WORDS,), (WORDS, WORDS), (STATUS, STATUS), (MAIL, STATUS), (WORDS, STATUS, WORDS),
    (WORDS, STATUS, MAIL, WORDS),
    (b"Content-Type: application/pdf\r\n\r\n%PDF\r\n", STATUS),
    (b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: image/png\r\n\r\nx\r\n--m--\r\n", STATUS)])
def test_a_label_alone_makes_no_report(bank: Context, parts: tuple[bytes, ...]) -> None:
    """Attack: rules let reports leave in clear. Such mail is still one of a machine (RFC 3834), and gets no answer."""
    assert kind(bank, *parts) == "auto_reply"
