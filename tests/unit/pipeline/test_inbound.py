"""The inbound way: mails made by openssl, verdict and form as the bank's policies say."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.app import TRUST_LOOK_S
from gateway.cli.trace.view import _fate
from gateway.cms.certificate import parse_certificate
from gateway.demo import openssl
from gateway.errors import Reason
from gateway.model.facts import Facts
from gateway.model.mail import Recipient
from gateway.model.outcome import Settled
from gateway.model.verdict import DecryptionVerdict, HeadersShown, SignatureVerdict, Status, Trust, Verdicts
from gateway.pipeline.facts import Message
from gateway.pipeline.inbound import receive as inbound
from gateway.pipeline.inbound.compose import neutralised
from gateway.pipeline.inbound.trust_card import read as read_card
from gateway.pki.path.validation import validate
from gateway.policy.recorded.replay import replay
from gateway.ports.administration import NewCertificate
from gateway.settings import Settings
from tests.support.bank import Context, context
from tests.support.bank import policy as one_policy

QUESTION = b"Content-Type: text/plain\r\n\r\nPlease raise my limit.\r\n"
HEADER = b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: A question\r\nMessage-ID: <q@c>\r\n"


def signed(bank: Context, name: str = "anna") -> bytes:
    return HEADER + openssl.sign(QUESTION, bank.bank.people[name])


def sealed(bank: Context, name: str = "anna") -> bytes:
    return b"Message-ID: <q@c>\r\n" + openssl.encrypt(
        openssl.sign(QUESTION, bank.bank.people[name]),
        bank.bank.support_certificate,
        ("anna@customer.example", "support@bank.example", "A question"),
    )


def sealed_only(bank: Context) -> bytes:
    """Encrypted and not signed: the bank's certificate is public, so this is anybody's."""
    return openssl.encrypt(
        QUESTION, bank.bank.support_certificate, ("eve@customer.example", "support@bank.example", "Buy now")
    )


def arrived(bank: Context, octets: bytes) -> bytes:
    outcome = bank.gateway.handle(bank.receive(octets, "support@bank.example"))
    assert outcome.answer is Settled.TAKEN, outcome
    return bank.inbound.octets_for("support@bank.example")


def test_a_sealed_question_is_opened_labelled_and_believed(bank: Context) -> None:
    octets = arrived(bank, sealed(bank))
    mail = message_from_bytes(octets, policy=policy.default)
    assert b"Please raise my limit." in octets
    assert mail["Sealgate-Verdict"] == "trusted"
    assert "smime=pass" in mail["Authentication-Results"]
    assert mail["Subject"] == "[customer] A question"
    assert mail["X-Bank-Class"] == "customer"
    assert bank.inbound.taken[0][2].ret == "HDRS"


def test_an_altered_one_is_quarantined(bank: Context) -> None:
    outcome = bank.gateway.handle(bank.receive(signed(bank).replace(b"my limit", b"his limit"), "support@bank.example"))
    assert [one.settled for one in outcome.recipients] == [Settled.HELD]
    assert bank.inbound.taken == []
    assert bank.gateway.store.hold.list()[0].kind == "quarantine"


def test_what_an_operator_let_go_is_no_difference_of_rules(bank: Context) -> None:
    mail = bank.receive(signed(bank).replace(b"my limit", b"his limit"), "support@bank.example")
    assert bank.gateway.handle(mail).recipients[0].settled is Settled.HELD
    assert bank.gateway.handle(mail, released=True).recipients[0].settled is Settled.TAKEN
    records = list(bank.gateway.store.evidence.since(mail.origin.received_at - timedelta(hours=1)))
    assert [(one.end, one.facts.get("released_from")) for one in records] == [
        ("quarantine", None),
        ("deliver", "quarantine"),
    ]
    assert [one.outcome for one in replay(records, bank.gateway.rules)] == ["same", "same"]


def test_signed_by_somebody_else_is_not_believed(bank: Context) -> None:
    mail = message_from_bytes(arrived(bank, sealed(bank, "ben")), policy=policy.default)
    assert mail["Sealgate-Verdict"].startswith("not_trusted")
    assert "smime=policy" in mail["Authentication-Results"]
    assert mail["Subject"].startswith("[signature not trusted]")


def test_status_fields_and_tags_from_outside_are_taken_off(bank: Context) -> None:
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


def test_header_fields_of_labels_are_taken_off(home: Path) -> None:
    """Attack: a stranger writes the field by which the bank's own rule marks customers, outside or protected inside."""
    rules = """
version: 1
rules:
  - name: all
    when: {direction: inbound, header: {Importance: high}}
    end: {reject: "a forged label decided"}
    cases: [{given: {direction: inbound, header: {Importance: high}}, expect: {end: reject}}]
  - name: labels
    when: {direction: inbound, decryption: failed}
    then: {form: as_received, label: {header: {Importance: high, X-Bank-Class: customer}}}
    cases: [{given: {direction: inbound, decryption: failed}, expect: {end: deliver}}]
  - name: opened
    when: {direction: inbound}
    then: {form: opened}
    cases: [{given: {direction: inbound}, expect: {end: deliver}}]
otherwise: reject
"""
    with context(home, one_policy(home / "labels.yaml", rules)) as bank:
        octets = arrived(bank, b"X-Bank-Class: customer\r\nimportance: high\r\n" + HEADER + b"\r\nhi\r\n")
        assert b"X-Bank-Class" not in octets
        assert b"importance" not in octets.lower()
        inside = b"Importance: high\r\n" + HEADER + QUESTION.replace(b"text/plain", b'text/plain; hp="clear"')
        bank.inbound.taken.clear()
        octets = arrived(bank, HEADER + openssl.sign(inside, bank.bank.people["anna"]))
        assert b"limit" in octets
        assert b"importance" not in octets.lower()


def test_results_of_a_filter_in_front_stay_only_where_it_is_the_peer(bank: Context) -> None:
    octets = b"Authentication-Results: filter.bank.example; dmarc=pass\r\n" + HEADER + b"\r\nhi\r\n"
    assert b"filter.bank.example" not in arrived(bank, octets)
    filtered = bank.receive(octets, "staff@bank.example")
    peer = replace(filtered.origin, listener="inbound", peer="127.0.0.9")
    bank.gateway.handle(replace(filtered, origin=peer))
    assert b"filter.bank.example; dmarc=pass" in bank.inbound.octets_for("staff@bank.example")


def test_the_facts_are_read_once_for_recipients_that_share_their_keys(
    bank: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred recipients of a mail of ten thousand parts kept a worker busy for a minute."""
    read: list[int] = []

    class Counted(Message):
        @classmethod
        def of(cls, *args: Any, **kwargs: Any) -> Message:
            read.append(1)
            return Message.of(*args, **kwargs)

    monkeypatch.setattr(inbound, "Message", Counted)
    many = [f"clerk-{number}@bank.example" for number in range(100)]
    outcome = bank.gateway.handle(bank.receive(HEADER + b"\r\nhi\r\n", "support@bank.example", *many))
    assert outcome.answer is Settled.TAKEN
    assert len(read) == 2


def test_of_many_keys_that_open_a_large_mail_one_form_stays_in_memory(
    bank: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: a mail encrypted to a hundred mailboxes with keys of their own was in memory a hundred times."""
    kept: list[bool] = []
    made = inbound._Reading

    def spied(*values: Any) -> inbound._Reading:
        seen = made(*values)
        kept.append(seen.opened is not None)
        return seen

    monkeypatch.setattr(inbound, "_Reading", spied)
    monkeypatch.setattr(inbound, "MEMORY_OCTETS", 0)
    boxes = [f"box-{number}@bank.example" for number in range(4)]
    opener = next(one for one in bank.gateway.context.openers if one.opens_for("support@bank.example"))
    before = bank.gateway.context
    bank.gateway.use(replace(before, openers=tuple(replace(opener, recipients=(box,)) for box in boxes)))
    try:
        outcome = bank.gateway.handle(bank.receive(sealed(bank), *boxes))
    finally:
        bank.gateway.use(before)
    assert outcome.answer is Settled.TAKEN
    assert kept == [True, False, False, False]
    for box in boxes:
        octets = bank.inbound.octets_for(box)
        assert b"Please raise my limit." in octets
        assert b"Sealgate-Verdict: trusted\r\n" in octets


def told(bank: Context, octets: bytes, sender: str, peer: str = "192.0.2.1") -> list[tuple[str, ...]]:
    """Who was written to, when one of two recipients is refused behind us after the other one has the mail."""
    bank.inbound.codes["nobody@bank.example"] = 550
    mail = bank.receive(octets, "support@bank.example", "nobody@bank.example", sender=sender)
    outcome = bank.gateway.handle(replace(mail, origin=replace(mail.origin, listener="inbound", peer=peer)))
    assert [one.settled for one in outcome.recipients] == [Settled.TAKEN, Settled.REPORTED]
    return [recipients for recipients, _, envelope in bank.outbound.taken if envelope.reverse_path == ""]


def test_a_stranger_cannot_have_us_write_to_somebody_else(bank: Context) -> None:
    """The bounce cannon: the reverse-path is anybody's to choose, and its owner would get the stranger's subject."""
    assert told(bank, sealed_only(bank), "victim@elsewhere.example") == []


@pytest.mark.parametrize(
    ("dmarc", "sender", "more", "expected"),
    [
        (b"pass", "eve@customer.example", b"", [("eve@customer.example",)]),
        (b"pass", "victim@elsewhere.example", b"", []),
        (b"fail", "eve@customer.example", b"", []),
        (b"pass", "eve@customer.example", b"Auto-Submitted: auto-replied\r\n", []),
        (b"pass", "eve@customer.example", b"List-Id: <all.customer.example>\r\n", []),
    ],
)
def test_a_proven_sender_is_told(
    home: Path, dmarc: bytes, sender: str, more: bytes, expected: list[tuple[str, ...]]
) -> None:
    with context(home, one_policy(home / "p.yaml", EXPLAINED)) as bank:
        octets = b"Authentication-Results: filter.bank.example; dmarc=" + dmarc + b"\r\n" + more + sealed_only(bank)
        assert told(bank, octets, sender, peer="127.0.0.9") == expected


def test_dmarc_proves_no_from_but_the_outer_one() -> None:
    """Attack: Anna's own signed mail under Eve's From, whose domain passes DMARC."""
    facts = Facts(None, "anna@customer.example", "anna@customer.example", "x", 1, authentication={"dmarc": "pass"})
    assert inbound.answerable(facts)
    verdicts = Verdicts((), DecryptionVerdict("not_encrypted"), SignatureVerdict(Status.VALID), HeadersShown(),
                        Trust.NOT_TRUSTED, (Reason.FROM_OUTER_DIFFERS,))
    assert not inbound.answerable(replace(facts, verdicts=verdicts))


def test_a_verified_signer_is_told_at_the_own_address_only(bank: Context) -> None:
    assert told(bank, sealed(bank), "anna@customer.example") == [("anna@customer.example",)]
    bank.outbound.taken.clear()
    assert told(bank, sealed(bank).replace(b"<q@c>", b"<r@c>"), "victim@elsewhere.example") == []


def test_the_banks_own_address_from_outside_is_quarantined(bank: Context) -> None:
    spoof = HEADER.replace(b"anna@customer.example", b"director@bank.example") + b"\r\npay now\r\n"
    outcome = bank.gateway.handle(bank.receive(spoof, "support@bank.example"))
    assert outcome.recipients[0].settled is Settled.HELD
    assert outcome.recipients[0].rule == "inbound:forged-as-us"


@pytest.mark.parametrize("name", [
    b'"Director <director@bank.example>"', b'"Director @ bank.example"',
    b"=?utf-8?q?director=40bank=2Eexample?=", b'"=?utf-8?q?director=40bank=2Eexample?="'])
def test_the_banks_address_as_a_strangers_name_is_quarantined(bank: Context, name: bytes) -> None:
    spoof = HEADER.replace(b"anna@customer.example", name + b" <eve@evil.example>", 1)
    outcome = bank.gateway.handle(bank.receive(spoof + b"\r\npay now\r\n", "support@bank.example"))
    assert outcome.recipients[0].rule == "inbound:forged-as-us"


def test_only_keys_of_the_envelopes_recipient_open(bank: Context) -> None:
    """A captured order re-sent to another mailbox is not decrypted for it."""
    outcome = bank.gateway.handle(bank.receive(sealed(bank), "staff@bank.example"))
    assert outcome.recipients[0].rule == "inbound:locked"
    octets = bank.inbound.octets_for("staff@bank.example")
    assert b"Please raise" not in octets
    assert b"decryption.no_key" in octets.replace(b"\r\n ", b" ")


@pytest.mark.parametrize(("asked", "passed"), [
    ((), ()), (("SUCCESS",), ("NEVER",)), (("DELAY", "FAILURE", "SUCCESS"), ("FAILURE",)), (("DELAY",), ("NEVER",)),
    (("FAILURE",), ("FAILURE",)), (("NEVER",), ("NEVER",)),
])
@pytest.mark.parametrize("what", ["sealed", "sealed_only", "signed", "for another key", "broken", "plain"])
def test_nobody_has_success_reported_of_what_was_opened(
    bank: Context, what: str, asked: tuple[str, ...], passed: tuple[str, ...]
) -> None:
    """Attack: a captured mail sent again with NOTIFY=SUCCESS; the report quoted the decrypted Subject, in clear."""
    octets = {"sealed": sealed, "sealed_only": sealed_only, "signed": signed}.get(what, sealed)(bank)
    if what == "broken":
        octets = octets[:-200]
    elif what == "plain":
        octets, passed = HEADER + QUESTION, asked
    to = "staff@bank.example" if what == "for another key" else "support@bank.example"
    mail = bank.receive(octets, to, sender="eve@elsewhere.example")
    mail = replace(mail, envelope=replace(mail.envelope, recipients=(Recipient(to, asked),)))
    assert bank.gateway.handle(mail).answer is Settled.TAKEN
    ((_, _, envelope),) = bank.inbound.taken
    assert envelope.recipients == (Recipient(to, passed),)


@pytest.mark.parametrize(("sender", "passed"), [("eve@elsewhere.example", ("NEVER",)), ("anna@customer.example", ())])
def test_no_stranger_is_answered_by_programs_with_decrypted_fields(
    bank: Context, sender: str, passed: tuple[str, ...]
) -> None:
    """A mailbox that is full bounces the mail with its header fields, to whoever has sent the captured mail again; an

    absence notice has its Subject.
    """
    inside = b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: A secret\r\n" + QUESTION.replace(
        b"text/plain", b'text/plain; hp="cipher"', 1)
    octets = openssl.encrypt(openssl.sign(inside, bank.bank.people["anna"]), bank.bank.support_certificate,
                             ("anna@customer.example", "support@bank.example", "[...]"))
    assert bank.gateway.handle(bank.receive(octets, "support@bank.example", sender=sender)).answer is Settled.TAKEN
    ((_, left, envelope),) = bank.inbound.taken
    assert b"A secret" in left
    assert (b"\r\nX-Auto-Response-Suppress: All\r\n" in b"\r\n" + left) is bool(passed)
    assert envelope.recipients[0].notify == passed


@pytest.mark.parametrize("before", [(), ("support@bank.example",)])
def test_from_the_world_to_the_world_is_refused(bank: Context, before: tuple[str, ...]) -> None:
    outcome = bank.gateway.handle(bank.receive(signed(bank), *before, "anna@customer.example"))
    assert (outcome.answer, outcome.reason) == (Settled.REFUSED, Reason.RECIPIENT_NOT_OURS)
    assert bank.inbound.taken == bank.outbound.taken == []


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
    with context(home, one_policy(home / "p.yaml", EXPLAINED)) as bank:
        original = sealed(bank)
        bank.gateway.handle(bank.receive(original, "staff@bank.example"))
        mail = message_from_bytes(bank.inbound.octets_for("staff@bank.example"), policy=policy.default)
        assert mail["Subject"] == "The message could not be decrypted"
        assert mail["From"] == "anna@customer.example"
        explanation, attached = mail.iter_parts()
        text = explanation.get_content()
        for words in ("key", "original.eml", "contact postmaster@bank.example", "Demo Bank\r\n", "Incident number: "):
            assert words in text, words
        assert attached.get_content_type() == "message/rfc822"
        assert attached.get_content()["Subject"] == "A question"


def test_the_explanation_is_written_in_the_language_of_the_bank(home: Path) -> None:
    rules = one_policy(home / "p.yaml", EXPLAINED)

    def german(settings: Settings) -> Settings:
        return rules(settings.model_copy(update={"bank": settings.bank.model_copy(update={"language": "de"})}))
    with context(home, german) as bank:
        bank.gateway.handle(bank.receive(sealed(bank), "staff@bank.example"))
        mail = message_from_bytes(bank.inbound.octets_for("staff@bank.example"), policy=policy.default)
    assert mail["Subject"] == "Die Nachricht konnte nicht entschlüsselt werden"
    text = next(mail.iter_parts()).get_content()
    for words in ("Guten Tag,", "original.eml", "an postmaster@bank.example", "Demo Bank\r\n", "Vorgangsnummer: "):
        assert words in text, words


def in_3des(bank: Context) -> bytes:
    """Signed by Anna and encrypted by openssl as Outlook 2007 did."""
    header = ("-from", "anna@customer.example", "-to", "support@bank.example", "-subject", "x", "-crlfeol")
    octets = openssl.run("cms", "-encrypt", "-des3", *header, bank.bank.support_certificate,
                         stdin=openssl.sign(QUESTION, bank.bank.people["anna"]))
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("weak", [(), ("3des",)])
def test_weak_cipher_is_named_inside_and_never_trusted(home: Path, weak: tuple[str, ...]) -> None:
    """RFC 8551 2.7: 3DES is history. The log and the evidence name it, the mail itself gets the one answer for all."""
    def change(settings: Settings) -> Settings:
        opening = settings.opening.model_copy(update={"weak": weak})
        return one_policy(home / "p.yaml", EXPLAINED)(settings).model_copy(update={"opening": opening})

    with context(home, change) as bank, structlog.testing.capture_logs() as lines:
        octets = arrived(bank, in_3des(bank))
        mail = message_from_bytes(octets, policy=policy.default)
        (said,) = [line for line in lines if line["event"] == "mail.weak_encryption"]
        assert (said["ciphers"], said["opened"]) == (["3des-cbc"], bool(weak))
        (record,) = bank.gateway.store.evidence.since(datetime.now(UTC) - timedelta(hours=1))
        assert record.facts["verdicts"]["weak_ciphers"] == ["3des-cbc"]
        reason = "decryption.weak_algorithm" if weak else "decryption.failed"
        assert mail["Sealgate-Verdict"].startswith("unknown")
        assert reason in mail["Sealgate-Verdict"]
        assert "encrypted with 3des-cbc" in _fate([record], 0, every=False).plain  # what `sealgate trace` shows
        assert (b"Please raise my limit." in octets) is bool(weak)
        assert b"3des" not in octets.lower()


def test_unauthenticated_plaintext_loses_its_active_content(home: Path) -> None:
    """EFAIL (CVE-2017-17689): CBC ciphertext without a signature inside may be spliced by anybody."""
    html = b'Content-Type: text/html; charset="utf-8"\r\n\r\n<img src="http://evil.example/?\r\n'
    with context(home, one_policy(home / "p.yaml", EXPLAINED)) as bank:
        octets = openssl.encrypt(
            html, bank.bank.support_certificate, ("anna@customer.example", "support@bank.example", "x")
        )
        mail = message_from_bytes(arrived(bank, octets), policy=policy.default)
        assert mail.get_content_type() == "text/plain"
        assert (
            mail["Sealgate-Encryption"] == "decrypted; integrity=none"
            or "integrity=none" in mail["Sealgate-Encryption"]
        )


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n",
        b"Content-Type: text/html\r\nContent-Type: text/html\r\n",
        b'Content-Type: "text/html"\r\n',
        b"Content-Type: text/html charset=utf-8\r\n",
        b"Content-Type: text/html,\r\n",
        b"Content-Type: text/html/plain\r\n",
        b"Content-Type: html\r\n",
        b"Content-Type: text/x-html\r\n",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n",
    ],
)
def test_neutralised_where_some_reader_may_find_active_content(fields: bytes) -> None:
    octets = neutralised(b"MIME-Version: 1.0\r\n" + fields + b"\r\n<img src=http://evil.example>\r\n")
    mail = message_from_bytes(octets)
    assert [value.partition(";")[0] for value in mail.get_all("Content-Type", [])] == ["text/plain"]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n",
        b"Content-Type: application/vnd.openxmlformats-officedocument.wordprocessingml.document; name=a.docx\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"",
    ],
)
def test_what_loads_nothing_by_itself_stays(fields: bytes) -> None:
    octets = b"MIME-Version: 1.0\r\n" + fields + b"\r\n--b\r\n\r\nhi\r\n--b--\r\n"
    assert neutralised(octets) == octets


@pytest.mark.parametrize("kind", ["text/html", "TEXT/HTML", "image/svg+xml", "application/xhtml+xml"])
def test_neutralised_in_every_part(kind: str) -> None:
    body = f"--x\r\nContent-Type: {kind}; charset=latin1\r\n\r\n<b>\r\n--x--\r\n"
    mail = f"From: a@b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n{body}"
    out = neutralised(mail.encode())
    assert kind.lower().encode() not in out.lower()
    assert b'text/plain; charset="latin1"' in out
    assert b"<b>" in out


def test_long_lines_from_outside_are_re_encoded_before_the_card_is_made(bank: Context) -> None:
    delivered = arrived(bank, HEADER + b"\r\n" + b"x" * 50_000 + b"\r\n")
    assert max(map(len, delivered.split(b"\r\n"))) <= 998
    read_card(delivered, bank.gateway.keys.public("trust:card").public, datetime.now(UTC))
    assert "x" * 50_000 in message_from_bytes(delivered, policy=policy.default).get_content()


@pytest.mark.parametrize("who", ["signer", "issuer"])
def test_what_the_bank_distrusts_is_believed_no_longer_by_a_running_gateway(bank: Context, who: str) -> None:
    """`sealgate cert distrust` is what one does in an emergency: nobody then thinks of a reload."""
    assert b"Sealgate-Verdict: trusted" in arrived(bank, signed(bank))
    certificates = bank.gateway.store.certificates
    (row,) = certificates.rows("anna@customer.example")
    issuer = validate(parse_certificate(row.der), bank.gateway.clock.now(), "signer",
                      bank.gateway.context.judge.trust).path[1]
    certificates.add([NewCertificate(issuer, source="import")])
    distrusted = row.sha256 if who == "signer" else issuer.sha256
    certificates.set_trust(distrusted, "distrusted")
    time.sleep(TRUST_LOOK_S + 0.05)
    bank.inbound.taken.clear()
    again = arrived(bank, signed(bank).replace(b"<q@c>", b"<q2@c>"))
    assert b"Sealgate-Verdict: trusted" not in again
    assert b"certificate.distrusted" in again
    certificates.set_trust(distrusted, None)
    time.sleep(TRUST_LOOK_S + 0.05)
    bank.inbound.taken.clear()
    assert b"Sealgate-Verdict: trusted" in arrived(bank, signed(bank).replace(b"<q@c>", b"<q3@c>"))


ODD_LINES = [b"HELO\r\n", b"\xef\xbb\xbfX: y\r\n", b"X" * 300 + b": y\r\n"]


@pytest.mark.parametrize("odd", [*ODD_LINES, b" \r\n"])
def test_no_reader_finds_forged_fields_behind_an_odd_line(bank: Context, odd: bytes) -> None:
    """Attack: readers that pass over a line that is no field (Exchange, Dovecot) go on reading fields behind it."""
    forged = b"Sealgate-Signature: valid\r\nSubject: [customer] Hello\r\nReply-To: eve@x.example\r\n"
    before = b"" if odd == b" \r\n" else b"From: eve@x.example\r\nTo: support@bank.example\r\n"
    octets = arrived(bank, before + odd + forged + b"\r\nHello.\r\n")
    assert b"Sealgate-Signature: valid" not in octets
    assert b"[customer]" not in octets
    read = message_from_bytes(octets, policy=policy.default)
    assert (read["Reply-To"] is None) == (odd != ODD_LINES[-1])


@pytest.mark.parametrize("odd", ODD_LINES)
def test_the_banks_address_behind_an_odd_line_is_quarantined(bank: Context, odd: bytes) -> None:
    octets = b"X-Mailer: x\r\n" + odd + b"From: director@bank.example\r\nSubject: Pay\r\n\r\nHello.\r\n"
    outcome = bank.gateway.handle(bank.receive(octets, "support@bank.example", sender="eve@x.example"))
    assert outcome.recipients[0].rule == "inbound:forged-as-us"
