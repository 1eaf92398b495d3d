"""Kept verdicts: counted validations, for the promise is that a verdict is used again only where it is the same."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.pki.path import validation as path
from gateway.pki.path.cache import SLOT_S, VerdictCache
from tests.support.pki import NOW, get_pki
from tests.support.sealed import trust_of


@pytest.fixture
def counted(monkeypatch):
    """How often a path was really validated; with an empty memory."""
    monkeypatch.setattr(path, "_verdicts", VerdictCache())
    times = []
    really = path._validate

    def validate(asked):
        times.append(asked.at)
        return really(asked)

    monkeypatch.setattr(path, "_validate", validate)
    return times


def ask(at=NOW, trust=None, extra=None, purpose="signer", **named):
    person = get_pki().signer("p-256")
    return path.validate(person.certificate, at, purpose, trust or trust_of(get_pki()),
                         person.chain if extra is None else extra, **named)


def test_within_a_slot_a_path_is_validated_once(counted):
    for seconds in range(10):
        assert ask(NOW + timedelta(seconds=seconds)).valid
    assert len(counted) == 1
    ask(NOW + timedelta(seconds=SLOT_S))
    assert len(counted) == 2


def test_a_time_from_a_stamp_never_answers_for_now(counted):
    ask()
    ask(stamped=True)
    assert len(counted) == 2


@pytest.mark.parametrize("other", [
    {"purpose": "recipient"}, {"extra": ()}, {"authority": True}])
def test_another_question_has_its_own_answer(counted, other):
    ask()
    ask(**other)
    assert len(counted) == 2


def test_another_trust_set_has_its_own_answer(counted):
    fingerprint = get_pki().signer("p-256").certificate.sha256
    assert ask().valid
    assert not ask(trust=replace(trust_of(get_pki()), distrusted=frozenset({fingerprint}))).valid
    assert ask().valid
    assert len(counted) == 2


def test_the_memory_is_bounded_and_forgets_the_oldest():
    slots = VerdictCache(entries_max=3)
    for number in range(3):
        slots.put(number, NOW, str(number), stamped=False)
    slots.get(0, NOW, stamped=False)
    slots.put(3, NOW, "3", stamped=False)
    assert len(slots) == 3
    assert slots.get(1, NOW, stamped=False) is None
    assert slots.get(0, NOW, stamped=False) == "0"
