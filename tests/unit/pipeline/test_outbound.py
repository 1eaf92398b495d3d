"""The outbound way over a real store and real keys; what left is opened by openssl."""

import base64
import hashlib
import shutil
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from gateway.demo import openssl
from gateway.errors import GatewayError, Reason
from gateway.model.mail import GATEWAY_CLIENT, Envelope, Recipient
from gateway.model.mailbox import spellings
from gateway.model.outcome import Settled
from gateway.pipeline.outbound.bounce import SEARCHED_OCTETS_MAX, body_of_enclosed
from gateway.policy.recorded.facts import from_record
from gateway.settings import Escrow, Settings
from tests.support.bank import Context, context, policy

CODE = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\n"
    b"Message-ID: <1@bank.example>\r\n\r\nYour code is 481516\r\n"
)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


def opened(bank: Context, octets: bytes, name: str) -> bytes:
    entity = openssl.decrypt(octets, bank.bank.people[name])
    return openssl.verify(entity, bank.bank.root)


def test_a_code_leaves_sealed(bank: Context) -> None:
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    assert outcome.answer is Settled.TAKEN
    left = bank.outbound.octets_for("anna@customer.example")
    assert b"481516" not in left
    assert b"Your code" not in left
    assert b"Your code is 481516" in opened(bank, left, "anna")


def test_what_took_longer_than_the_client_waits_is_not_sent(bank: Context) -> None:
    """The client has given up and will come again: a mail sent now would be there twice."""
    mail = bank.send(CODE, "anna@customer.example")
    mail = replace(mail, origin=replace(mail.origin, deadline_at=mail.origin.received_at))
    outcome = bank.gateway.handle(mail)
    assert (outcome.answer, outcome.reason) == (Settled.LATER, Reason.MAIL_DEADLINE)
    assert bank.outbound.taken == []


@pytest.mark.parametrize(
    ("to", "client", "sender", "octets", "reason"),
    [
        ("ben@nowhere.example", "online-banking", "otp@bank.example", CODE, Reason.CERTIFICATE_ABSENT),
        ("anna@customer.example", "staff", "otp@bank.example", CODE, Reason.CLIENT_FROM_NOT_ALLOWED),
        ("anna@customer.example", "online-banking", "", CODE, Reason.KEY_NOT_PERMITTED),
        (
            "anna@customer.example",
            "online-banking",
            "otp@bank.example",
            CODE.replace(b"From: ", b"From: a@b.example, "),
            Reason.FROM_AMBIGUOUS,
        ),
        (
            "anna@customer.example",
            "online-banking",
            "otp@bank.example",
            b"From: otp@bank.example\r\n" + CODE,
            Reason.FROM_AMBIGUOUS,
        ),
        (
            "anna@customer.example",
            "online-banking",
            "otp@bank.example",
            CODE.replace(b"otp@", b"director@"),
            Reason.CLIENT_FROM_NOT_ALLOWED,
        ),
    ],
)
def test_what_may_not_leave_is_refused_by_name(
    bank: Context, to: str, client: str, sender: str, octets: bytes, reason: Reason
) -> None:
    outcome = bank.gateway.handle(bank.send(octets, to, client=client, sender=sender))
    assert (outcome.answer, outcome.reason) == (Settled.REFUSED, reason)
    assert bank.outbound.taken == []


def test_one_refused_recipient_stops_the_mail_for_all(bank: Context) -> None:
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@nowhere.example"))
    assert outcome.answer is Settled.REFUSED
    assert bank.outbound.taken == []
    assert {one.reason for one in outcome.recipients} == {
        Reason.CERTIFICATE_ABSENT,
        Reason.POLICY_OTHER_RECIPIENT_REFUSED,
    }


def test_deliver_rest_sends_the_rest_and_reports_headers_only(home: Path) -> None:
    with context(home, lambda s: s.model_copy(update={"partial": "deliver_rest"})) as bank:
        outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@nowhere.example"))
        assert outcome.answer is Settled.TAKEN
        assert {one.settled for one in outcome.recipients} == {Settled.TAKEN, Settled.REPORTED}
        assert b"481516" in opened(bank, bank.outbound.octets_for("anna@customer.example"), "anna")
        report = bank.inbound.octets_for("otp@bank.example")
        assert bank.inbound.taken[0][2].reverse_path == ""
        assert b"ben@nowhere.example" in report
        assert b"Message-ID: <1@bank.example>" in report
        assert b"481516" not in report
        assert b"It was accepted for all other recipients." in report
        assert b"Kind regards\r\nDemo Bank\r\n" in report
        assert f"Incident number: {outcome.incident}".encode() in report


def test_a_report_is_written_in_the_language_of_the_bank(home: Path) -> None:
    def german(settings: Settings) -> Settings:
        return settings.model_copy(update={
            "partial": "deliver_rest", "bank": settings.bank.model_copy(update={"language": "de"})})
    with context(home, german) as bank:
        bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@nowhere.example"))
        report = message_from_bytes(bank.inbound.octets_for("otp@bank.example"), policy=default)
    assert report["Subject"] == "Ihre Nachricht wurde nicht an alle Empfänger zugestellt"
    assert report["From"] == "Demo Bank <postmaster@bank.example>"
    text, status, header = report.iter_parts()
    words = text.get_content()
    for expected in ("Guten Tag,", " Uhr (UTC)", "Der Bank liegt kein Zertifikat des Empfängers vor.", "Demo Bank",
                     "Bitten Sie den Empfänger um ein Zertifikat.", "Vorgangsnummer: "):
        assert expected in words, expected
    assert status.get_content_type() == "message/delivery-status"
    assert "Action: failed" in status.as_string()
    assert header.get_content_type() == "text/rfc822-headers"


def test_a_report_claims_nothing_of_a_recipient_whom_it_may_not_name(home: Path) -> None:
    """RFC 3461 4.1: NOTIFY=NEVER for one refused recipient, so the report does not name them."""
    with context(home, lambda s: s.model_copy(update={"partial": "deliver_rest"})) as bank:
        mail = bank.send(CODE, "anna@customer.example", "ben@nowhere.example")
        hidden = (*mail.envelope.recipients, Recipient("cara@nowhere.example", ("NEVER",)))
        bank.gateway.handle(replace(mail, envelope=replace(mail.envelope, recipients=hidden)))
        report = bank.inbound.octets_for("otp@bank.example")
        assert b"ben@nowhere.example" in report
        assert b"cara@nowhere.example" not in report
        assert b"all other recipients" not in report


def test_a_hidden_recipient_is_not_seen_by_the_others(bank: Context) -> None:
    """Bcc: recipient infos name every reader, so who stands in no To or Cc gets a mail of his own."""
    bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@customer.example"))
    assert len(bank.outbound.taken) == 2
    ours = bank.outbound.octets_for("anna@customer.example")
    with pytest.raises(openssl.GatewayError):
        openssl.decrypt(ours, bank.bank.people["ben"])


def test_shown_recipients_travel_together(bank: Context) -> None:
    both = CODE.replace(b"To: anna@customer.example", b"To: anna@customer.example, Ben <BEN@customer.example>")
    bank.gateway.handle(bank.send(both, "anna@customer.example", "ben@customer.example"))
    assert len(bank.outbound.taken) == 1
    for name in ("anna", "ben"):
        assert b"481516" in opened(bank, bank.outbound.taken[0][1], name)


EVERYWHERE = """
version: 1
rules:
  - name: everywhere
    when: {client: staff}
    STEPSend: deliver
    cases:
      - given: {client: staff, from: staff@bank.example}
        expect: {end: deliver}
otherwise: reject
"""


@pytest.mark.parametrize("steps", ["", "then: {sign: {with: staff}}\n    "])
@pytest.mark.parametrize("outside_first", [True, False])
def test_a_rule_for_both_directions_sends_each_recipient_its_own_way(
    home: Path, steps: str, *, outside_first: bool
) -> None:
    to = ("anna@customer.example", "carla@bank.example")[:: 1 if outside_first else -1]
    octets = b"From: staff@bank.example\r\nTo: %b, %b\r\nMessage-ID: <1@bank.example>\r\n\r\nhi\r\n" % (
        to[0].encode(), to[1].encode())
    with context(home, policy(home / "everywhere.yaml", EVERYWHERE.replace("STEPS", steps))) as bank:
        outcome = bank.gateway.handle(bank.send(octets, *to, client="staff", sender="staff@bank.example"))
        assert outcome.answer is Settled.TAKEN
        assert [taken[0] for taken in bank.outbound.taken] == [("anna@customer.example",)]
        assert [taken[0] for taken in bank.inbound.taken] == [("carla@bank.example",)]


def test_signed_and_stamped_once_for_all_groups(bank: Context) -> None:
    """Counted: private-key operations per mail, however many groups it has."""
    signed: list[bytes] = []
    key_set = bank.gateway.context.key_sets["otp"]
    def counted(octets: bytes) -> bytes:
        signed.append(octets)
        return key_set.signer.raw_sign(octets)

    counting = replace(key_set, signer=replace(key_set.signer, raw_sign=counted))
    bank.gateway.use(replace(bank.gateway.context, key_sets={"otp": counting}))
    bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@customer.example"))
    assert len(bank.outbound.taken) == 2
    assert len(signed) == 1


def test_a_retry_sends_only_the_rest(bank: Context) -> None:
    bank.outbound.codes["ben@customer.example"] = 451
    mail = bank.send(CODE, "anna@customer.example", "ben@customer.example")
    first = bank.gateway.handle(mail)
    assert first.answer is Settled.LATER
    assert [taken[0] for taken in bank.outbound.taken] == [("anna@customer.example",)]
    bank.outbound.codes.clear()
    second = bank.gateway.handle(mail)
    assert second.answer is Settled.TAKEN
    assert [taken[0] for taken in bank.outbound.taken] == [("anna@customer.example",), ("ben@customer.example",)]
    assert {one.address: one.settled for one in second.recipients} == {
        "anna@customer.example": Settled.DISCARDED,
        "ben@customer.example": Settled.TAKEN,
    }


def test_trace_fields_do_not_make_a_retry_another_mail(bank: Context) -> None:
    bank.outbound.codes["ben@customer.example"] = 451
    bank.gateway.handle(bank.send(b"Received: from a\r\n" + CODE, "anna@customer.example", "ben@customer.example"))
    bank.gateway.handle(bank.send(b"Received: from b\r\nX-Spam: no\r\n" + CODE, "anna@customer.example"))
    bank.gateway.handle(bank.send(b"Received: from b\r\n" + CODE, "anna@customer.example", "ben@customer.example"))
    assert sum("anna@customer.example" in taken[0] for taken in bank.outbound.taken) == 2  # X-Spam is another mail


def test_a_permanent_refusal_behind_us_after_a_taken_group_is_reported(bank: Context) -> None:
    bank.outbound.codes["ben@customer.example"] = 550
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@customer.example"))
    assert outcome.answer is Settled.TAKEN
    assert {one.address: one.settled for one in outcome.recipients}["ben@customer.example"] is Settled.REPORTED
    assert b"550" in bank.inbound.octets_for("otp@bank.example")


STAMPS = """
version: 1
rules:
  - name: anna
    when: {direction: outbound, client: online-banking, from: otp@bank.example, recipient: anna@customer.example}
    then: {sign: {with: otp}, stamp: {by: internal, if_unavailable: send_unstamped}}
    cases:
      - given: {client: online-banking, from: otp@bank.example, recipient: anna@customer.example}
        expect: {then: [sign, stamp]}
  - name: others
    when: {direction: outbound, client: online-banking, from: otp@bank.example}
    then: {sign: {with: otp}, stamp: {by: internal, if_unavailable: defer}}
    cases:
      - given: {client: online-banking, from: otp@bank.example, recipient: ben@customer.example}
        expect: {then: [sign, stamp]}
otherwise: reject
"""


class DeadStamper:
    name = "internal"
    trust: Literal["internal"] = "internal"

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        raise GatewayError(Reason.STAMPER_UNAVAILABLE, f"dead for {digest_name} {digest.hex()}", retry=True)


def test_a_signature_that_one_group_sends_unstamped_is_not_lent_to_one_that_must_not(home: Path) -> None:
    with context(home, policy(home / "stamps.yaml", STAMPS)) as bank:
        bank.gateway.use(replace(bank.gateway.context, stampers={"internal": DeadStamper()}))
        outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example", "ben@customer.example"))
        assert [one.settled for one in outcome.recipients] == [Settled.TAKEN, Settled.LATER]
        assert [taken[0] for taken in bank.outbound.taken] == [("anna@customer.example",)]


HOLD = """
version: 1
rules:
  - name: hold
    when: {direction: outbound, client: online-banking, from: otp@bank.example}
    then: {sign: {with: otp}, encrypt: {without_certificate: hold}}
    END
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: enrolled}
        expect: {end: CASE}
      - given: {client: online-banking, from: otp@bank.example, certificate: absent}
        expect: {end: hold}
otherwise: reject
"""


def test_held_mail_is_released_sealed(home: Path) -> None:
    text = HOLD.replace("END", "end: hold").replace("CASE", "hold")
    with context(home, policy(home / "hold.yaml", text)) as bank:
        outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
        assert outcome.answer is Settled.TAKEN
        assert bank.outbound.taken == []
        (held,) = bank.gateway.store.hold.list()
        _, mail = bank.gateway.store.hold.get(held.hold_id)
        assert mail.octets == CODE
        assert bank.gateway.handle(mail, released=True).answer is Settled.TAKEN
        assert b"481516" in opened(bank, bank.outbound.octets_for("anna@customer.example"), "anna")


def test_what_is_held_for_want_of_a_certificate_is_not_released_in_clear(home: Path) -> None:
    text = HOLD.replace("END", "end: deliver").replace("CASE", "deliver")
    with context(home, policy(home / "hold.yaml", text)) as bank:
        bank.gateway.handle(bank.send(CODE, "ben@nowhere.example"))
        (held,) = bank.gateway.store.hold.list()
        _, mail = bank.gateway.store.hold.get(held.hold_id)
        outcome = bank.gateway.handle(mail, released=True)
        assert (outcome.answer, outcome.recipients[0].reason) == (Settled.LATER, Reason.CERTIFICATE_ABSENT)
        assert bank.outbound.taken == []
        assert bank.gateway.store.hold.list() == (held,), "it is not held a second time"


def test_the_body_of_held_mail_is_not_on_the_disk_in_clear(home: Path) -> None:
    text = HOLD.replace("END", "end: hold").replace("CASE", "hold")
    with context(home, policy(home / "hold.yaml", text)) as bank:
        bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    assert not any(b"481516" in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_evidence_tells_what_happened_and_no_content(bank: Context) -> None:
    bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    (record,) = bank.gateway.store.evidence.find("<1@bank.example>")
    assert record.rule == "codes:otp"
    assert record.settled is Settled.TAKEN
    assert record.steps == ("protect_headers", "sign", "stamp", "encrypt")
    assert len(record.certificates) == 1
    assert record.policy_digest == bank.gateway.rules.digest
    assert "481516" not in str(record)


def test_a_mail_that_is_stopped_leaves_a_trace_too(bank: Context) -> None:
    outcome = bank.gateway.handle(bank.send(CODE.replace(b"otp@", b"director@"), "anna@customer.example"))
    (record,) = bank.gateway.store.evidence.find(outcome.incident)
    assert record.reasons == ("client.from_not_allowed",)
    assert record.message_id == "<1@bank.example>"


def test_a_journal_that_cannot_be_told_makes_no_second_mail_of_a_taken_one(
    bank: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both groups are with the next hop, so the client hears 250; if it comes again all the same, that is counted."""
    journal = type(bank.gateway.store.journal)
    taken, failed = journal.taken, []

    def once(self: object, key: str, recipients: tuple[str, ...], reply: str) -> None:
        if not failed:
            failed.append(key)
            raise GatewayError(Reason.STORE_UNAVAILABLE, "database is locked", retry=True)
        taken(self, key, recipients, reply)

    monkeypatch.setattr(journal, "taken", once)
    both = ("anna@customer.example", "ben@customer.example")  # in no To: hidden from each other
    assert bank.gateway.handle(bank.send(CODE, *both)).answer is Settled.TAKEN
    assert len(bank.outbound.taken) == 2
    told = capsys.readouterr()
    assert "journal.not_written" in told.out + told.err
    assert bank.gateway.handle(bank.send(CODE, *both)).answer is Settled.TAKEN
    assert len(bank.outbound.taken) == 3
    assert sum(row.resent for row in bank.gateway.store.journal.rows(failed[0])) == 1


@pytest.mark.parametrize("reason", [Reason.STORE_UNAVAILABLE, Reason.JOURNAL_IN_PROGRESS])
@pytest.mark.parametrize("failing", ["release", "taken"])
def test_what_has_left_is_in_the_evidence_whatever_the_journal_does(
    bank: Context, monkeypatch: pytest.MonkeyPatch, failing: str, reason: Reason
) -> None:
    """The client hears 451 and comes again; the records say what the next hop has, not that nothing has left."""
    journal = type(bank.gateway.store.journal)

    def fail(*args: object, **values: object) -> None:
        del args, values
        raise GatewayError(reason, "no answer", retry=True)

    both = ("anna@customer.example", "ben@customer.example")
    with monkeypatch.context() as patched:
        patched.setattr(journal, failing, fail)
        outcome = bank.gateway.handle(bank.send(CODE, *both))
    records = bank.gateway.store.evidence.find(outcome.incident)
    has = {address for accepted, *_ in bank.outbound.taken for address in accepted}
    assert has
    assert {one.recipient for one in records if one.settled is Settled.TAKEN} == has
    assert all(bool(one.sealed_digest) == (one.recipient in has) for one in records)
    assert {one.recipient for one in records} == set(both)
    if (failing, reason) != ("taken", Reason.STORE_UNAVAILABLE):
        assert (outcome.answer, outcome.reason) == (Settled.LATER, reason)
        assert all(one.settled is Settled.LATER for one in outcome.recipients)


class Killed(BaseException):
    """The end of the process: nothing handles it."""


@pytest.mark.parametrize("inbound", [False, True])
def test_what_left_before_a_kill_stays_in_the_evidence(bank: Context, *, inbound: bool) -> None:
    """The retry sends nothing to the first group again, so nothing later can say which octets it got."""
    def end(point: str) -> None:
        if point == "after-commit":
            raise Killed

    if inbound:
        hop, both = bank.inbound, ("support@bank.example", "info@bank.example")
        mail = bank.receive(CODE.replace(b"otp@bank", b"anna@customer"), *both)
        mail = replace(mail, octets=mail.octets.replace(b"To: anna@customer.example", b"To: support@bank.example"))
    else:
        hop, both = bank.outbound, ("anna@customer.example", "ben@customer.example")
        mail = bank.send(CODE, *both)
    context = bank.gateway.context
    bank.gateway.use(replace(context, reach=end))
    with pytest.raises(Killed):
        bank.gateway.handle(mail)
    bank.gateway.use(context)
    [(_, octets, _)] = hop.taken
    assert bank.gateway.handle(replace(mail, origin=replace(mail.origin, incident="again"))).answer is Settled.TAKEN
    assert len(hop.taken) == 2
    records = bank.gateway.store.evidence.find("<1@bank.example>")
    digests = {one.recipient: one.sealed_digest for one in records if one.sealed_digest}
    assert digests[both[0]] == hashlib.sha256(octets).hexdigest()
    assert set(digests) == set(both)
    assert [one.settled for one in records if one.recipient == both[0]] == [Settled.TAKEN, Settled.DISCARDED]


def test_a_surprise_with_one_group_leaves_the_evidence_of_the_other(
    bank: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = bank.outbound.deliver

    def once(octets: bytes, envelope: Envelope, *arguments: Any, **values: Any) -> Any:
        if bank.outbound.taken:
            raise ZeroDivisionError
        return deliver(octets, envelope, *arguments, **values)

    both = ("anna@customer.example", "ben@customer.example")
    with monkeypatch.context() as patched:
        patched.setattr(bank.outbound, "deliver", once)
        outcome = bank.gateway.handle(bank.send(CODE, *both))
    assert (outcome.answer, outcome.reason) == (Settled.LATER, Reason.INTERNAL)
    records = bank.gateway.store.evidence.find(outcome.incident)
    assert [(one.recipient, one.settled) for one in records] == [(both[0], Settled.TAKEN), (both[1], Settled.LATER)]
    assert bank.gateway.handle(bank.send(CODE, *both)).answer is Settled.TAKEN
    assert [to for to, *_ in bank.outbound.taken] == [(one,) for one in both]


PARTNER = """
version: 1
rules:
  - name: partner
    when: {direction: outbound, client: online-banking, recipient: ["*@%s", chief@%s]}
    then: {sign: {with: otp}, encrypt: {without_certificate: reject}}
    cases: [{given: {client: online-banking, recipient: "a@%s", certificate: absent}, expect: {end: reject}}]
  - name: others
    when: {direction: outbound, client: online-banking, recipient: {not: ["*@%s"]}}
    end: deliver
    cases: [{given: {client: online-banking, recipient: a@else.example}, expect: {end: deliver}}]
otherwise: defer
"""


@pytest.mark.parametrize(("ruled", "written"), [
    *[(ruled, ("m\u00fcller.example", "M\u00dcLLER.example", "mu\u0308ller.example", "XN--mller-kva.example"))
      for ruled in ("m\u00fcller.example", "M\u00dcLLER.example", "xn--mller-kva.example", "mu\u0308ller.example")],
    *[(ruled, ("stra\u00dfe.example", "STRA\u1e9eE.example", "xn--strae-oqa.example"))
      for ruled in ("stra\u00dfe.example", "STRA\u1e9eE.example", "xn--strae-oqa.example")],
])
def test_rules_know_an_internationalised_domain_however_it_is_written(
        home: Path, ruled: str, written: tuple[str, ...]) -> None:
    """The rule that seals has one spelling, the mail another one: it left by the next rule, in clear."""
    with context(home, policy(home / "p.yaml", PARTNER % ((ruled,) * 4))) as bank:
        for domain in written:
            outcome = bank.gateway.handle(bank.send(CODE, f"chief@{domain}"))
            assert (outcome.answer, outcome.recipients[0].rule) == (Settled.REFUSED, "p:partner"), domain
            (record,) = bank.gateway.store.evidence.find(outcome.incident)
            assert from_record(record.facts).to.spellings == spellings(f"chief@{domain}")[1:]
        assert bank.outbound.taken == []


ESCROWED = """
version: 1
rules:
  - name: seal
    when: {direction: outbound, client: online-banking}
    then: {sign: {with: otp}, encrypt: {without_certificate: reject}, escrow: {certificate: audit}}
    cases: [{given: {client: online-banking, certificate: enrolled}, expect: {end: deliver}}]
otherwise: reject
"""


@pytest.mark.parametrize(("file", "settled"), [("archive", Settled.TAKEN), ("staff", Settled.LATER)])
def test_evidence_names_the_escrow(home: Path, file: str, settled: Settled) -> None:
    path = home / f"keys/{file}.crt.pem"

    def change(settings: Settings) -> Settings:
        return policy(home / "escrow.yaml", ESCROWED)(settings).model_copy(
            update={"escrow": (Escrow(name="audit", certificate=path),)})

    with context(home, change) as bank:
        (one,) = bank.gateway.handle(bank.send(CODE, "anna@customer.example")).recipients
        (record,) = bank.gateway.store.evidence.find("<1@bank.example>")
        assert one.settled is settled
        if settled is Settled.TAKEN:
            assert list(record.facts["escrow"]) == ["audit"]
            assert set(record.facts["escrow"].values()) < set(record.certificates)
        else:
            assert (one.reason, bank.outbound.taken) == (Reason.ESCROW_UNUSABLE, [])
            assert "'audit'" in one.detail


def test_evidence_that_cannot_be_kept_makes_no_second_mail_of_a_taken_one(
    bank: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object) -> None:
        raise ValueError("what nobody thought of")

    monkeypatch.setattr(type(bank.gateway.store.evidence), "add", breaks)
    assert bank.gateway.handle(bank.send(CODE, "anna@customer.example")).answer is Settled.TAKEN
    assert len(bank.outbound.taken) == 1
    told = capsys.readouterr()
    assert "evidence.lost" in told.out + told.err


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (b'"director@bank.example" <otp@bank.example>', Settled.REFUSED),
        (b"Bank (director@BANK.example) <otp@bank.example>", Settled.TAKEN),  # a comment is shown by nobody
        (b'"The Bank, director@bank.example" <otp@bank.example>', Settled.REFUSED),
        (b'"otp@bank.example" <otp@bank.example>', Settled.TAKEN),
        (b'"anna@customer.example via the bank" <otp@bank.example>', Settled.TAKEN),
    ],
)
def test_the_name_in_from_speaks_for_nobody_else(bank: Context, name: bytes, answer: Settled) -> None:
    outcome = bank.gateway.handle(bank.send(CODE.replace(b"otp@bank.example", name, 1), "anna@customer.example"))
    assert outcome.answer is answer


def test_a_foreign_envelope_sender_is_never_signed_for(bank: Context) -> None:
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example", sender="forwarder@elsewhere.example"))
    assert (outcome.answer, outcome.reason) == (Settled.REFUSED, Reason.KEY_NOT_PERMITTED)


def test_a_dead_store_defers_and_sends_nothing(bank: Context) -> None:
    bank.gateway.store.close()
    shutil.rmtree(bank.bank.home / "sealgate.db", ignore_errors=True)
    (bank.bank.home / "sealgate.db").unlink(missing_ok=True)
    for rest in bank.bank.home.glob("sealgate.db-???"):
        rest.unlink()
    (bank.bank.home / "sealgate.db").mkdir()
    outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    assert outcome.answer is Settled.LATER
    assert bank.outbound.taken == []


def test_bcc_fields_leave_neither_outside_nor_inside(bank: Context) -> None:
    bank.gateway.handle(bank.send(b"Bcc: ben@customer.example\r\n" + CODE, "anna@customer.example"))
    left = bank.outbound.octets_for("anna@customer.example")
    assert b"ben@customer.example" not in left
    assert b"ben@customer.example" not in opened(bank, left, "anna")


def test_hidden_recipients_behind_an_odd_line_leave_neither_outside_nor_inside(bank: Context) -> None:
    bank.gateway.handle(bank.send(CODE.replace(b"\r\n\r\n", b"\r\nHELO\r\nBcc: ben@customer.example\r\n\r\n", 1),
                                  "anna@customer.example"))
    left = bank.outbound.octets_for("anna@customer.example")
    assert b"\r\n\r\nHELO\r\n\r\n" in opened(bank, left, "anna")
    assert b"ben@customer.example" not in opened(bank, left, "anna")


def test_what_leaves_as_it_is_has_an_empty_line_where_its_header_ended_early(bank: Context) -> None:
    octets = b"From: staff@bank.example\r\nHELO\r\nSubject: Hello\r\n\r\nHi\r\n"
    bank.gateway.handle(bank.send(octets, "nobody@x.example", client="staff", sender=""))
    assert bank.outbound.octets_for("nobody@x.example") == octets.replace(b"HELO", b"\r\nHELO")


def test_a_keyword_is_taken_out_before_signing(bank: Context) -> None:
    octets = (
        b"From: staff@bank.example\r\nTo: anna@customer.example\r\nSubject: [seal] Hello\r\n"
        b"Message-ID: <2@b>\r\n\r\nHi\r\n"
    )
    bank.gateway.handle(bank.send(octets, "anna@customer.example", client="staff", sender="staff@bank.example"))
    content = opened(bank, bank.outbound.octets_for("anna@customer.example"), "anna")
    assert b"Subject: Hello\r\n" in content
    assert b"[seal]" not in content


def test_a_keyword_counts_as_the_writer_sees_it(bank: Context) -> None:
    """[seal] insists on encryption; without it this mail would leave signed only, for there is no certificate."""
    letter = "From: staff@bank.example\r\n%s\r\nMessage-ID: <3@b>\r\n\r\nHi\r\n"
    for subjects in (
        "Subject: [seal] Hello",
        "Subject: [se\u200bal] Hello",
        "Subject: AW: [seal] Hello",
        "Subject: Fwd: Re: [Seal] Hello",
        "Subject: Hello\r\nSubject: [seal] Hello",
        "HELO\r\nSubject: [seal] Hello",
        "X" * 300 + ": 1\r\nSubject: [seal] Hello",
        "\ufeffSubject: [seal] Hello",
        "Subject: =?utf-8?q?=5Bse=E2=80=8Bal=5D?= Hello",
        "Subject: =?iso-8859-8-i?q?=5Bseal=5D?= Hello",
        "Subject: =?x-nobody-knows?q?=5Bseal=5D?= Hello",
    ):
        octets = (letter % subjects).encode()
        mail = bank.send(octets, "ben@nowhere.example", client="staff", sender="staff@bank.example")
        outcome = bank.gateway.handle(mail)
        assert (outcome.answer, outcome.reason) == (Settled.REFUSED, Reason.CERTIFICATE_ABSENT), subjects
    assert bank.outbound.taken == []


def test_a_line_that_is_no_field_ends_the_header_as_in_postfix(bank: Context) -> None:
    """What stands behind it is text, and leaves sealed with the rest; the log names the line."""
    octets = CODE.replace(b"Subject: ", b"HELO mx\r\nSubject: ")
    mail = bank.send(octets, "anna@customer.example")
    with structlog.testing.capture_logs() as lines:
        assert bank.gateway.handle(mail).answer is Settled.TAKEN
    (line,) = [line for line in lines if line["event"] == "mail.header_ends_early"]
    assert (line["line"], line["incident"]) == (3, mail.origin.incident)
    left = bank.outbound.octets_for("anna@customer.example")
    assert b"Your code" not in left
    content = opened(bank, left, "anna")
    assert content.partition(b"\r\n\r\n")[2] == octets.partition(b"anna@customer.example\r\n")[2]
    headless = bank.gateway.handle(bank.send(b"\xef\xbb\xbf" + CODE, "anna@customer.example"))
    assert (headless.answer, headless.reason) == (Settled.REFUSED, Reason.FROM_MISSING)


@pytest.mark.parametrize("entity", [
    b"\r\nThe limit is 4711.\r\n",
    b"Auto-Submitted: auto-replied\r\n\r\nThe limit is 4711.\r\n",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n4711\r\n--b--\r\n"])
def test_a_null_sender_with_a_keyword_is_rejected_by_name(bank: Context, entity: bytes) -> None:
    """Attack: MAIL FROM:<> took the mail past the rule `seal`, in clear and with the keyword removed."""
    octets = b"From: staff@bank.example\r\nTo: anna@customer.example\r\nSubject: [seal] x\r\n" + entity
    outcome = bank.gateway.handle(bank.send(octets, "anna@customer.example", client="staff", sender=""))
    assert [(one.settled, one.reason, one.rule) for one in outcome.recipients] == [
        (Settled.REFUSED, Reason.POLICY_REJECTED, "staff:seal-without-sender")]
    assert "null sender" in (outcome.recipients[0].text or "")
    assert bank.outbound.taken == []


def test_a_client_cannot_use_the_rule_for_alarms(bank: Context) -> None:
    """Attack: online banking, broken into, writes from otp@ to security@, whose mail may leave unencrypted."""
    octets = b"From: otp@bank.example\r\nTo: security@bank.example\r\nSubject: x\r\n\r\nThe limit is 4711.\r\n"
    (one,) = bank.gateway.handle(bank.send(octets, "security@bank.example")).recipients
    assert (one.settled, one.rule) == (Settled.REFUSED, "codes:otp-elsewhere")
    assert bank.inbound.taken == []
    own = bank.send(octets, "security@bank.example", client=GATEWAY_CLIENT)
    assert bank.gateway.handle(own).answer is Settled.TAKEN
    elsewhere = bank.send(octets.replace(b"otp@", b"statements@"), "security@bank.example", client=GATEWAY_CLIENT)
    assert bank.gateway.handle(elsewhere).reason is Reason.CLIENT_FROM_NOT_ALLOWED


def test_what_only_the_gateway_may_say_leaves_no_client(bank: Context) -> None:
    """RFC 8601 5; attack: a colleague, or a program of the bank, marks its mail as a verified customer's."""
    forged = (b"Sealgate-Verdict: trusted\r\nAuthentication-Results: gateway.bank.example; smime=pass\r\n"
              b"Authentication-Results: other.bank.example; spf=pass\r\nX-Bank-Class: customer\r\n"
              b"From: staff@bank.example\r\nSubject: Re: [customer] hello\r\n\r\nhi\r\n")
    for to, hop in (("carla@bank.example", bank.inbound), ("eve@nowhere.example", bank.outbound)):
        sent = bank.send(forged, to, client="staff", sender="staff@bank.example")
        assert bank.gateway.handle(sent).answer is Settled.TAKEN
        left = hop.octets_for(to)
        assert b"Subject: Re: hello\r\n" in left
        assert b"other.bank.example; spf=pass" in left
        for gone in (b"Sealgate-", b"gateway.bank.example; smime", b"X-Bank-Class"):
            assert gone not in left
    unchanged = b"From: staff@bank.example\r\nSubject: hello\r\n\r\nhi\r\n"
    bank.inbound.taken.clear()
    bank.gateway.handle(bank.send(unchanged, "carla@bank.example", client="staff", sender="staff@bank.example"))
    assert bank.inbound.octets_for("carla@bank.example") == unchanged


RETURNED = b"Subject: My question\r\n\r\nMy secret is 4711\r\n"
REPORT = b'multipart/report; report-type=delivery-status; boundary="b"'
ENCODED = b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(RETURNED).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("kind", "returned"),
    [
        (REPORT, (b"Content-Type: message/rfc822\r\n\r\n" + RETURNED,)),
        (REPORT, (b"Content-Type: message/rfc822\r\n" + ENCODED,)),
        (REPORT, (b"Content-Type: message/global\r\n\r\n" + RETURNED,) * 2),
        (REPORT, (b"Content-Type: text/rfc822-headers\r\n\r\n" + RETURNED,)),
        (REPORT, (b"Content-Type: message/global-headers\r\n" + ENCODED,)),
        (
            REPORT.replace(b"delivery-status", b"disposition-notification"),
            (b"Content-Type: message/rfc822\r\n\r\n" + RETURNED,),
        ),
        (b"multipart/mixed; boundary=b", (b"Content-Type: message/rfc822\r\n\r\n" + RETURNED,)),
        (
            b"multipart/mixed; boundary=b",
            (
                b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: message/rfc822\r\n\r\n"
                + RETURNED
                + b"--c--\r\n",
            ),
        ),
        (b"message/rfc822", ()),
    ],
)
def test_a_bounce_that_returns_content_is_cut_to_header_fields(
    bank: Context, kind: bytes, returned: tuple[bytes, ...]
) -> None:
    body = b"--b\r\n\r\nfailed\r\n" + b"".join(b"--b\r\n" + part for part in returned) + b"--b--\r\n"
    bounce = (
        b"From: postmaster@bank.example\r\nSealgate-Verdict: forged, and removed first\r\n"
        b"To: anna@customer.example\r\nSubject: Undelivered\r\n"
        b"Content-Type: " + kind + b"\r\n\r\n" + (body if returned else RETURNED)
    )
    settings = bank.gateway.context.client_from
    bank.gateway.use(replace(bank.gateway.context, client_from={**settings, "staff": ("*",)}))
    outcome = bank.gateway.handle(bank.send(bounce, "anna@customer.example", client="staff", sender=""))
    assert outcome.answer is Settled.TAKEN
    left = bank.outbound.octets_for("anna@customer.example")
    assert b"4711" not in left
    assert base64.b64encode(RETURNED)[:40] not in left
    assert b"Subject: My question" in left
    assert left.count(b"text/rfc822-headers") == max(len(returned), 1)
    assert left.startswith(b"From: postmaster@bank.example")


OLD_HEADER = (b"Return-Path: <anna@customer.example>\r\nReceived: from mx.customer.example\r\n"
              b"\tby mx.bank.example; Tue\r\nFrom: anna@customer.example\r\nSubject: My question\r\n")
PLAIN = b"My secret is 4711\r\n\r\nMore of it: 4711\r\n"
QMAIL = (b"Hi. This is the qmail-send program at mail.bank.example.\r\nI'm afraid I wasn't able to deliver it.\r\n\r\n"
         b"<carla@bank.example>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n"
         b"--- Below this line is a copy of the message.\r\n\r\n" + OLD_HEADER + b"\r\n" + PLAIN)
SENDMAIL = b"   ----- Unsent message follows -----\r\n" + OLD_HEADER + b"\r\n" + PLAIN
QUOTED = b"".join(b"> " + line + b"\r\n" for line in (OLD_HEADER + b"\r\n" + PLAIN).split(b"\r\n"))
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfailed\r\n--b\r\n"
FILE = b'Content-Type: application/octet-stream; name="original.eml"\r\n'


@pytest.mark.parametrize("entity", [
    b"\r\n" + QMAIL,
    b"\r\n" + SENDMAIL,
    b"\r\n" + QUOTED,
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(QMAIL).replace(b"\n", b"\r\n"),
    MIXED + b"\r\n" + QMAIL + b"--b--\r\n",
    MIXED + FILE + b"\r\n" + OLD_HEADER + b"\r\n" + PLAIN + b"--b--\r\n",
    MIXED + FILE + b"Content-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(OLD_HEADER + b"\r\n" + PLAIN).replace(b"\n", b"\r\n") + b"--b--\r\n",
], ids=["qmail", "sendmail", "quoted", "base64", "a part", "a file", "a file in base64"])
def test_a_bounce_with_the_mail_in_its_text_is_cut_behind_the_header_fields(bank: Context, entity: bytes) -> None:
    bounce = b"From: staff@bank.example\r\nTo: anna@customer.example\r\nSubject: failure notice\r\n" + entity
    outcome = bank.gateway.handle(bank.send(bounce, "anna@customer.example", client="staff", sender=""))
    assert outcome.answer is Settled.TAKEN
    left = message_from_bytes(bank.outbound.octets_for("anna@customer.example"))
    texts = [part.get_payload(decode=True) for part in left.walk() if not part.is_multipart()]
    assert b"4711" not in b"".join(texts)
    assert b"Subject: My question" in b"".join(texts)
    if b"qmail" in b"".join(texts):
        assert QMAIL[:200] in b"".join(texts)


@pytest.mark.parametrize("text", [
    b"Your message\r\n\r\n   To: carla\r\n   Subject: x\r\n   Sent: Monday\r\n\r\nwas read on Tuesday.\r\n",
    b"I am away.\r\nFrom: 1 May\r\nTo: 3 May\r\n\r\nIn urgent cases: dan@bank.example\r\n",
    b"From: here\r\nno field\r\nTo: there\r\nSubject: x\r\nDate: y\r\n\r\nkept\r\n",
    OLD_HEADER + b"\r\n",
    OLD_HEADER,
])
def test_words_of_people_with_a_null_sender_stay_whole(bank: Context, text: bytes) -> None:
    notice = b"From: staff@bank.example\r\nTo: anna@customer.example\r\nSubject: away\r\n\r\n" + text
    bank.gateway.handle(bank.send(notice, "anna@customer.example", client="staff", sender=""))
    assert bank.outbound.octets_for("anna@customer.example") == notice


@pytest.mark.parametrize("entity", [
    b"Content-Type: " + REPORT + b"\r\n\r\n--b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + RETURNED
    + b"--b--\r\n",
    b"\r\n" + QMAIL,
])
def test_inside_the_bank_a_bounce_stays_whole(bank: Context, entity: bytes) -> None:
    bounce = b"From: staff@bank.example\r\nTo: carla@bank.example\r\nSubject: failure notice\r\n" + entity
    outcome = bank.gateway.handle(bank.send(bounce, "carla@bank.example", client="staff", sender=""))
    assert outcome.answer is Settled.TAKEN
    assert bank.inbound.octets_for("carla@bank.example") == bounce


def test_an_enclosed_message_is_looked_for_near_the_beginning() -> None:
    text = b"words\r\n" * 100 + OLD_HEADER + b"\r\n" + PLAIN
    assert text[body_of_enclosed(text) or 0:] == PLAIN
    assert body_of_enclosed(b"words\r\n" * (SEARCHED_OCTETS_MAX // 7) + text) is None


@pytest.mark.parametrize("form", [
    b"\r\n%s", b"Content-Type: text/html\r\n\r\n%s",
    b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\n%s\r\n--c\r\n\r\n4711\r\n--c--\r\n"])
def test_a_reports_text_is_cut_to_a_length(bank: Context, form: bytes) -> None:
    text = form % (b"It could not be delivered.\r\n" * 400 + b"4711\r\n")
    report = (b"From: staff@bank.example\r\nSubject: Undelivered\r\nContent-Type: " + REPORT + b"\r\n\r\n--b\r\n"
              + text + b"\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n--b--\r\n")
    assert bank.gateway.handle(
        bank.send(report, "anna@customer.example", client="staff", sender="")).answer is Settled.TAKEN
    people, status = message_from_bytes(bank.outbound.octets_for("anna@customer.example")).get_payload()
    assert people.get_payload(decode=True).startswith(b"It could not be delivered.\r\n")
    assert b"4711" not in people.get_payload(decode=True)
    assert len(people.get_payload(decode=True)) == 8_192
    assert status.get_content_type() == "message/delivery-status"


def test_long_lines_of_unsigned_mail_are_re_encoded(bank: Context) -> None:
    """RFC 5321 4.5.3.1.6: no next hop need take a line of more than 998 octets; every decoded part survives."""
    text = "x" * 30_000 + " \u00fc"
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "carla@bank.example", "eve@nowhere.example", "long"
    mail.set_content("short")
    octets = mail.as_bytes().replace(b"\n", b"\r\n").replace(b"short", text.encode())
    from dataclasses import replace

    bank.gateway.use(replace(bank.gateway.context, client_from={"staff": ("*@bank.example",)}))
    sent = bank.send(octets, "eve@nowhere.example", client="staff", sender="carla@bank.example")
    assert bank.gateway.handle(sent).answer is Settled.TAKEN
    left = bank.outbound.octets_for("eve@nowhere.example")
    assert max(map(len, left.split(b"\r\n"))) <= 998
    assert "x" * 30_000 in message_from_bytes(left, policy=default).get_content()
