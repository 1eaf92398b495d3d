"""The answer to the client out of its recipients' outcomes: truth is the table of `pipeline.run`, rules 4 and 5."""

import pytest

from gateway.errors import Reason
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.pipeline.run import answer, refuse_all

T, H, R, L, D = Settled.TAKEN, Settled.HELD, Settled.REFUSED, Settled.LATER, Settled.DISCARDED


def outcomes(*settled: Settled) -> list[RecipientOutcome]:
    return [
        RecipientOutcome(
            f"r{n}@x.example", one, Reason.NEXT_HOP_LATER if one is L else Reason.NEXT_HOP_REFUSED if one is R else None
        )
        for n, one in enumerate(settled)
    ]


@pytest.mark.parametrize(
    ("settled", "expected"),
    [
        ((T,), T),
        ((R,), R),
        ((L,), L),
        ((H,), T),
        ((D,), T),
        ((T, L), L),  # the retry sends the rest
        ((T, R), T),  # and a report
        ((T, R, L), L),
        ((R, R), R),
        ((L, L), L),
        ((R, L), L),  # nothing taken: trying again may settle the one
        ((D, R), T),
        ((H, L), L),
    ],
)
def test_answer(settled: tuple[Settled, ...], expected: Settled) -> None:
    assert answer(outcomes(*settled))[0] is expected


def test_no_recipients_are_never_taken() -> None:
    assert answer([])[0] is R


def test_refuse_all_spreads_the_refusal_and_names_it() -> None:
    stopped = {"b@x.example": RecipientOutcome("b@x.example", R, Reason.CERTIFICATE_ABSENT)}
    outcome = refuse_all("i", ("a@x.example", "b@x.example"), stopped)
    assert outcome.answer is R
    assert outcome.reason is Reason.CERTIFICATE_ABSENT
    assert [one.reason for one in outcome.recipients] == [
        Reason.POLICY_OTHER_RECIPIENT_REFUSED,
        Reason.CERTIFICATE_ABSENT,
    ]


def test_refuse_all_a_refusal_outweighs_a_deferral() -> None:
    stopped = {one.address: one for one in outcomes(L, R)}
    assert refuse_all("i", ("r0@x.example", "r1@x.example"), stopped).answer is R
    stopped = {one.address: one for one in outcomes(L)}
    assert refuse_all("i", ("r0@x.example", "r1@x.example"), stopped).answer is L
