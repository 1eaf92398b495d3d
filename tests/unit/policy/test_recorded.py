"""Records keep what rules may ask, and nothing else: decided again from a record, every mail comes out the same."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.actions.table import VERBS
from gateway.errors import Reason
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import Absent, CertificateRow, Conflict, Found, Loser, Unavailable, Unusable
from gateway.model.mail import Direction
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.policy import cases
from gateway.policy.load import load
from gateway.policy.matchers import NO_FROM
from gateway.policy.recorded.facts import HEADER_OCTETS_MAX, from_record, to_record
from gateway.policy.recorded.replay import replay

POLICIES = Path(__file__).parents[3] / "policies"
FILES = [
    (name, (POLICIES / name).read_text()) for name in ("codes.yaml", "statements.yaml", "staff.yaml", "inbound.yaml")
]
RULES = load(FILES, VERBS)
CASES = [case for rule in RULES.rules for case in rule.cases]
ROW = CertificateRow("00", b"secret", (), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))

words = st.text(max_size=8)
some = st.none() | words
facts = st.builds(
    Facts,
    client=some,
    sender=words,
    from_=some,
    subject=words,
    size=st.integers(0, 10**9),
    headers=st.dictionaries(words, st.lists(words, min_size=1).map(tuple), max_size=3),
    kind=st.sampled_from(("normal", "dsn")),
    already=st.frozensets(st.sampled_from(("signed", "encrypted"))),
    keywords=st.frozensets(words, max_size=3),
    spoofs_us=st.booleans(),
    verdicts=st.sampled_from([None, *(case.facts.verdicts for case in CASES)]),
    authentication=st.dictionaries(words, words, max_size=2),
)
known = some | st.sampled_from([NotAsked(), Unavailable()])
answers = st.sampled_from(
    [NotAsked(), Absent(), Unavailable(), Conflict(("1", "2")), Found((), enrolled=True), Found((), enrolled=False),
     Unusable(())]
)
recipients = st.builds(
    RecipientFacts,
    words,
    st.sampled_from(Direction),
    certificate=answers,
    enrolled=answers,
    segment=known,
    signer_customer=known,
)


@given(st.builds(replace, facts, no_from=st.sampled_from((None, *NO_FROM))), recipients)
def test_a_record_is_json_and_gives_the_facts_back(mail, to):
    back = from_record(json.loads(json.dumps(to_record(mail, to))))
    assert (back.facts, back.to, back.cut) == (mail, to, False)


def test_records_of_the_first_format_had_one_look_up_for_both_questions():
    to = RecipientFacts("a@x.example", Direction.OUTBOUND, certificate=Found((), enrolled=False))
    record = to_record(CASES[0].facts, to)
    assert from_record(record).to.enrolled == NotAsked()
    enrolled = from_record({**record, "format": 1}).to.enrolled
    assert isinstance(enrolled, Unusable)
    assert [loser.reason for loser in enrolled.losers] == [Reason.CERTIFICATE_NOT_ENROLLED]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place.rpartition("/")[2])
def test_every_case_comes_out_of_its_record_as_it_went_in(case):
    back = from_record(json.loads(json.dumps(to_record(case.facts, case.to))))
    assert RULES.decide(back.facts, back.to) == RULES.decide(case.facts, case.to)


def test_the_reason_of_an_unusable_certificate_survives():
    to = RecipientFacts(
        "a@x.example", Direction.OUTBOUND, certificate=Unusable((Loser(ROW, Reason.CERTIFICATE_REVOKED),))
    )
    answer = from_record(to_record(CASES[0].facts, to)).to.certificate
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_REVOKED]


def test_certificates_themselves_are_not_kept():
    to = RecipientFacts("a@x.example", Direction.OUTBOUND, certificate=Found((ROW,), enrolled=True))
    assert "secret" not in json.dumps(to_record(CASES[0].facts, to))


@pytest.mark.parametrize(("length", "cut"), [(HEADER_OCTETS_MAX - 3, False), (HEADER_OCTETS_MAX - 2, True)])
def test_headers_are_kept_up_to_a_limit(length, cut):
    mail = Facts("c", "s", "f", "", 1, headers={"x-a": ("v" * length,)})
    record = to_record(mail, RecipientFacts("a", Direction.OUTBOUND))
    assert from_record(record).cut is cut
    assert len(json.dumps(record)) < HEADER_OCTETS_MAX + 500


@pytest.mark.parametrize(
    "swollen", [{"subject": "s" * 1_000_000}, {"from_": "f" * 1_000_000}, {"keywords": frozenset({"k" * 1_000_000})}]
)
def test_no_text_of_a_strangers_mail_swells_a_record(swollen):
    """A record is kept for each of a hundred recipients."""
    record = to_record(
        Facts(**({"client": "c", "sender": "s", "from_": "f", "subject": "", "size": 1} | swollen)),
        RecipientFacts("a", Direction.INBOUND),
    )
    assert len(json.dumps(record)) < 2_000
    assert from_record(record).cut


def test_what_a_record_has_no_field_for_is_kept_beside_the_facts():
    text = (
        FILES[2][1]
        .replace("  - name: everyday\n", "  - name: everyday\n    mode: observe\n")
        .replace("otherwise: next_file", "otherwise: reject")
    )
    staff = load([("staff.yaml", text)], VERBS)
    case = next(case for rule in staff.rules for case in rule.cases if rule.name == "staff:everyday")
    record = to_record(case.facts, case.to, staff.decide(case.facts, case.to))
    assert record["observed"] == [
        {"rule": "staff:everyday", "steps": ["protect_headers", "sign", "stamp", "encrypt"], "end": "deliver"}
    ]


def records(rules):
    for number, result in enumerate(cases.run(rules).results):
        decision, case = result.decision, result.case
        yield EvidenceRecord(
            at=datetime(2026, 11, 24, tzinfo=UTC),
            incident=f"i{number}",
            message_key="k",
            message_id="<m@x>",
            direction=str(case.to.direction),
            client=case.facts.client,
            sender=case.facts.sender,
            recipient=case.to.address,
            rule=decision.rule,
            steps=tuple(step.verb for step in decision.steps),
            end=decision.end.kind,
            settled=Settled.TAKEN,
            reasons=(),
            certificates=(),
            policy_digest=rules.digest,
            next_hop_reply=None,
            sealed_digest="",
            facts=json.loads(json.dumps(to_record(case.facts, case.to))),
        )


def test_replay_under_the_same_rules_differs_in_nothing():
    assert {one.outcome for one in replay(records(RULES), RULES)} == {"same"}


def test_replay_under_other_rules_tells_the_differences():
    other = [
        (
            name,
            text.replace("without_certificate: hold", "without_certificate: reject").replace(
                "expect: {end: hold", "expect: {end: reject"
            ),
        )
        for name, text in FILES
    ]
    found = [one for one in replay(records(RULES), load(other, VERBS)) if one.outcome != "same"]
    assert [(one.outcome, one.before.end, one.after.end, one.after.rule) for one in found] == [
        ("differs", "hold", "reject", "statements:statement")
    ]


def test_replay_tells_what_was_never_looked_up_and_what_it_cannot_read():
    (record, *_) = records(RULES)
    del record.facts["certificate"], record.facts["enrolled"]
    (one,) = replay([record], RULES)
    assert (one.outcome, one.needs) == ("undecided", "certificate")
    record.facts.clear()
    (one,) = replay([record], RULES)
    assert (one.outcome, one.after) == ("unreadable", None)


def test_a_record_of_the_first_version_is_read_in_todays_words() -> None:
    """It spelt one level with a z; rules of today ask for `organisation`."""
    signed = next(case.facts for case in CASES if case.facts.verdicts and case.facts.verdicts.signature.signers)
    record = to_record(signed, RecipientFacts("support@bank.example", Direction.INBOUND))
    for signer in record["verdicts"]["signers"]:
        signer["level"] = ["organization", "qualified"]
    back = from_record(json.loads(json.dumps(record))).facts.verdicts
    assert back is not None
    assert {signer.level for signer in back.signature.signers} == {("organisation", "qualified")}
