"""`encrypt: {device_bound: true}`: a code by mail is possession only if one device reads it (EBA Q&A 2018_4315)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.actions.table import VERBS
from gateway.errors import Reason
from gateway.model.decision import Decision
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    Loser,
    Unavailable,
    Unusable,
)
from gateway.model.mail import Direction
from gateway.policy.explain import explain
from gateway.policy.load import Known, load
from gateway.policy.recorded.facts import from_record, to_record
from gateway.policy.resolve import lowers, used
from gateway.policy.ruleset import RuleSet

TEXT = """
version: 1
rules:
  - name: otp
    when: {{direction: outbound, client: online-banking}}
    then: {{sign: {{with: otp}}, encrypt: {{certificates: enrolled, device_bound: {bound},
                                            without_certificate: reject}}}}
    cases:
      - given: {{client: online-banking, certificate: device_bound}}
        expect: {{then: [sign, encrypt], end: deliver}}
      - given: {{client: online-banking, certificate: {other}}}
        expect: {{end: {end}{reason}}}
otherwise: reject
"""
PHONE = CertificateRow("aa", b"", (), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC),
                       customer="10001", device_bound=True)
LAPTOP = replace(PHONE, sha256="bb", device_bound=False)
OLD = Loser(replace(PHONE, sha256="cc"), Reason.CERTIFICATE_EXPIRED)
FACTS = Facts(client="online-banking", sender="otp@bank.example", from_="otp@bank.example", subject="", size=1)


def rules(*, bound: bool = True) -> RuleSet:
    text = TEXT.format(bound="true" if bound else "false", other="enrolled" if bound else "found", end="reject",
                       reason=f", reason: certificate.not_{'device_bound' if bound else 'enrolled'}")
    known = Known(clients=frozenset({"online-banking"}), signing_keys=frozenset({"otp"}))
    return load([("p.yaml", text)], VERBS, known)


def facts(answer: CertificateAnswer) -> RecipientFacts:
    return RecipientFacts("anna@customer.example", Direction.OUTBOUND, enrolled=answer)


def decided(answer: CertificateAnswer, *, bound: bool = True) -> Decision:
    decision = rules(bound=bound).decide(FACTS, facts(answer))
    assert isinstance(decision, Decision)
    return decision


@pytest.mark.parametrize("rows", [(PHONE,), (PHONE, LAPTOP), (LAPTOP, PHONE)])
def test_only_keys_of_one_device_are_used(rows: tuple[CertificateRow, ...]) -> None:
    found = Found(rows, enrolled=True, losers=(OLD,))
    decision = decided(found)
    assert decision.end.kind == "deliver"
    answer = used(decision, facts(found))
    assert isinstance(answer, Found)
    assert answer.rows == (PHONE,)
    others = tuple(Loser(row, Reason.CERTIFICATE_NOT_DEVICE_BOUND) for row in rows if row is LAPTOP)
    assert answer.losers == (OLD, *others)


@pytest.mark.parametrize("answer, end, reason", [
    (Found((LAPTOP,), enrolled=True), "reject", Reason.CERTIFICATE_NOT_DEVICE_BOUND),
    (Found((), enrolled=True), "reject", Reason.CERTIFICATE_NOT_DEVICE_BOUND),
    (Absent(), "reject", Reason.CERTIFICATE_ABSENT),
    (Unusable((OLD,)), "reject", Reason.CERTIFICATE_EXPIRED),
    (Conflict(("1", "2")), "reject", Reason.CERTIFICATE_CONFLICT),
    (Unavailable(), "defer", Reason.CERTIFICATE_UNAVAILABLE),
])
def test_who_has_none_is_refused_by_name(answer: CertificateAnswer, end: str, reason: Reason) -> None:
    decision = decided(answer)
    assert (decision.end.kind, decision.reason, decision.steps) == (end, reason, ())


def test_without_the_word_any_enrolled_key_is_used() -> None:
    found = Found((LAPTOP,), enrolled=True)
    assert used(decided(found, bound=False), facts(found)) is found


def test_to_ask_for_it_is_more_protection_than_not_to() -> None:
    found = Found((PHONE,), enrolled=True)
    lax, strict = decided(found, bound=False), decided(found)
    assert lowers(lax, strict)
    assert not lowers(strict, lax)


def test_a_record_tells_it_so_that_a_replay_decides_alike() -> None:
    for answer in (Found((PHONE, LAPTOP), enrolled=True), Found((LAPTOP,), enrolled=True)):
        back = from_record(to_record(FACTS, facts(answer)))
        again = rules().decide(back.facts, back.to)
        assert isinstance(again, Decision)
        assert (again.end.kind, again.reason) == (decided(answer).end.kind, decided(answer).reason)


def test_explain_tells_which_key_lost_for_it() -> None:
    told = explain(rules(), FACTS, facts(Found((PHONE, LAPTOP), enrolled=True))).certificate
    assert told is not None
    assert told.want == "enrolled"
    assert (LAPTOP.sha256, "certificate.not_device_bound") in told.losers
