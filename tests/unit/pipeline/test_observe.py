"""`mode: observe`: what would happen is recorded, what happens is nothing. Over a real store and real keys.

Truth: the octets that the next hop got, and the same mail's way in a live gateway beside it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.lookup import CertificateAnswer, Want
from gateway.model.mail import Mail
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.settings import Settings
from tests.support.bank import Context, context, policy

CODE = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nBcc: secret@customer.example\r\n"
    b"Message-ID: <observed@bank.example>\r\n\r\nYour code is 481516 \xfc " + b"x" * 1200 + b"\r\n.\r\nend"
)
QUESTION = (
    b"Sealgate-Verdict: trusted\r\nFrom: anna@customer.example\r\nTo: support@bank.example\r\n"
    b"Subject: [customer] Hi\r\nMessage-ID: <question@customer.example>\r\n\r\nHello\r\n"
)
SEALING = ("protect_headers", "sign", "stamp", "encrypt")


def watching(settings: Settings) -> Settings:
    return settings.model_copy(update={"mode": "observe"})


def records(bank: Context) -> list[EvidenceRecord]:
    return list(bank.gateway.store.evidence.since(datetime.now(UTC) - timedelta(hours=1)))


@pytest.mark.parametrize(("to", "settled", "reason"), [
    ("anna@customer.example", "taken", None),
    ("ben@nowhere.example", "refused", "certificate.absent"),
])
def test_what_would_leave_sealed_or_not_at_all_passes_as_it_came(
    home: Path, to: str, settled: str, reason: str | None
) -> None:
    with context(home, watching) as bank:
        outcome = bank.gateway.handle(bank.send(CODE, to))
        assert outcome.answer is Settled.TAKEN
        assert bank.outbound.octets_for(to) == CODE
        assert bank.inbound.taken == []
        (record,) = records(bank)
    assert (record.rule, record.settled, record.reasons) == ("codes:otp", Settled.TAKEN, ())
    assert record.facts["would"] == {"settled": settled, "reasons": [reason] if reason else []}
    assert record.steps == (SEALING if settled == "taken" else ())
    assert bool(record.certificates) == (settled == "taken")


def test_what_a_live_front_end_would_refuse_at_mail_is_recorded(home: Path) -> None:
    """Who observes lets a client use any sender; live it could not."""
    with context(home, watching) as bank:
        mail = bank.send(CODE, "anna@customer.example", sender="director@bank.example")
        assert bank.gateway.handle(mail).answer is Settled.TAKEN
        (record,) = records(bank)
    assert record.facts["would"] == {"settled": "refused", "reasons": ["client.from_not_allowed"]}


def test_a_live_gateway_says_the_same(home: Path) -> None:
    """The try is the live way: rule, steps, end and certificates are those of a live gateway."""
    kept = []
    for change in (watching, lambda settings: settings):
        with context(home, change) as bank:
            bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
            kept.append(records(bank)[-1])
    seen, live = kept
    for name in ("rule", "steps", "end", "certificates", "policy_digest", "message_key"):
        assert getattr(seen, name) == getattr(live, name), name
    assert {**seen.facts, "would": None} == {**live.facts, "would": None}
    assert seen.sealed_digest != live.sealed_digest


def test_inbound_mail_is_neither_opened_nor_stripped(home: Path) -> None:
    with context(home, watching) as bank:
        assert bank.gateway.handle(bank.receive(QUESTION, "support@bank.example")).answer is Settled.TAKEN
        assert bank.inbound.octets_for("support@bank.example") == QUESTION
        assert bank.inbound.taken[0][2].ret is None


def test_nothing_is_held(home: Path, tmp_path: Path) -> None:
    text = """\
version: 1
rules:
  - name: hold-all
    when: {direction: outbound}
    end: hold
    cases:
      - given: {recipient: anna@customer.example}
        expect: {end: hold}
otherwise: reject
"""

    def change(settings: Settings) -> Settings:
        return watching(policy(tmp_path / "hold.yaml", text)(settings))

    with context(home, change) as bank:
        assert bank.gateway.handle(bank.send(CODE, "anna@customer.example")).answer is Settled.TAKEN
        assert bank.outbound.octets_for("anna@customer.example") == CODE
        assert bank.gateway.store.hold.list() == ()
        assert records(bank)[0].facts["would"]["settled"] == "held"


def test_each_goes_to_the_mail_server_of_its_own_and_a_refusal_there_is_its_own(home: Path) -> None:
    with context(home, watching) as bank:
        bank.inbound.codes["support@bank.example"] = 550
        outcome = bank.gateway.handle(bank.send(CODE, "anna@customer.example", "support@bank.example"))
        assert outcome.answer is Settled.TAKEN
        assert bank.outbound.octets_for("anna@customer.example") == CODE
        expected = {"anna@customer.example": Settled.TAKEN, "support@bank.example": Settled.REPORTED}
        assert {one.address: one.settled for one in outcome.recipients} == expected
        assert {record.recipient: record.settled for record in records(bank)} == expected


def test_a_temporary_answer_behind_us_is_ours(home: Path) -> None:
    with context(home, watching) as bank:
        bank.outbound.codes["anna@customer.example"] = 451
        mail = bank.send(CODE, "anna@customer.example")
        assert bank.gateway.handle(mail).answer is Settled.LATER
        bank.outbound.codes.clear()
        assert bank.gateway.handle(mail).answer is Settled.TAKEN
        assert len(bank.outbound.taken) == 1


def test_a_stranger_relays_nothing(home: Path) -> None:
    with context(home, watching) as bank:
        outcome = bank.gateway.handle(bank.receive(QUESTION, "somebody@elsewhere.example"))
        assert (outcome.answer, outcome.reason) == (Settled.REFUSED, Reason.RECIPIENT_NOT_OURS)
        assert bank.outbound.taken == bank.inbound.taken == []


def _breaks(address: str, want: Want) -> CertificateAnswer:
    raise ZeroDivisionError(address, want)


def _may_not(bank: Context) -> Mail:
    return bank.send(CODE, "anna@customer.example", client="staff", sender="director@elsewhere.example")


def _no_mail_at_all(bank: Context) -> Mail:
    return bank.send(b"\x00 no header at all", "anna@customer.example")


def _unexpected(bank: Context) -> Mail:
    bank.gateway.use(replace(bank.gateway.context, select=_breaks))
    return bank.send(CODE, "anna@customer.example")


@pytest.mark.parametrize(("mail_of", "settled", "reason"), [
    (_may_not, "refused", "client.from_not_allowed"),
    (_unexpected, "later", "internal.surprise"),
    (_no_mail_at_all, "refused", None),
])
def test_what_breaks_or_is_not_allowed_is_told_and_passes(
    home: Path, mail_of: Callable[[Context], Mail], settled: str, reason: str | None
) -> None:
    with context(home, watching) as bank:
        mail = mail_of(bank)
        assert bank.gateway.handle(mail).answer is Settled.TAKEN
        assert bank.outbound.octets_for("anna@customer.example") == mail.octets
        (record,) = records(bank)
    would = record.facts["would"]
    assert would["settled"] == settled
    assert reason is None or would["reasons"] == [reason]


def test_what_an_operator_releases_goes_the_live_way(home: Path) -> None:
    """It was held while the gateway was live: its release never sends it in clear."""
    with context(home, watching) as bank:
        bank.gateway.handle(bank.send(CODE, "anna@customer.example"), released=True)
        assert b"481516" not in bank.outbound.octets_for("anna@customer.example")


def test_nothing_is_learned(home: Path) -> None:
    with context(home, watching) as bank:
        learned: list[object] = []

        class Learning:
            def from_mail(self, *given: object, **more: object) -> None:
                learned.append((given, more))

        bank.gateway.use(replace(bank.gateway.context, learning=Learning()))  # type: ignore[arg-type]
        bank.gateway.handle(bank.receive(QUESTION, "support@bank.example"))
        assert learned == []


def test_evidence_that_cannot_be_kept_stops_nothing(home: Path) -> None:
    class Full:
        def add(self, records: tuple[EvidenceRecord, ...]) -> None:
            raise GatewayError(Reason.STORE_UNAVAILABLE, f"{len(records)} records", retry=True)

    with context(home, watching) as bank:
        bank.gateway.use(replace(bank.gateway.context, evidence=Full()))  # type: ignore[arg-type]
        assert bank.gateway.handle(bank.send(CODE, "anna@customer.example")).answer is Settled.TAKEN
