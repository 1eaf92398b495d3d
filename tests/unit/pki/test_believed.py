"""Path and revocation as one kept verdict: used again only where nothing beneath it has changed."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from gateway.cms import algorithms
from gateway.errors import Reason
from gateway.pki.path import verdicts as believed
from gateway.pki.path.cache import SLOT_S, VerdictCache
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.verdict import FOREVER, Known, Revocation
from gateway.pki.trust import TrustSet
from tests.support.pki import NOW, get_pki
from tests.support.sealed import anna, trust_of

TRUST = trust_of(get_pki())
NUMBERS = count()
PAST = NOW - timedelta(days=30)


class Table:
    """Counts what it is asked."""

    def __init__(self, answer=None):
        self.version = f"table {next(NUMBERS)}"
        self.answer = answer or Known("good", fresh=True)
        self.asked = 0

    def known(self, certificate, issuer, at, received):
        self.asked += 1
        return self.answer


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(believed, "_kept", VerdictCache())


def ask(table, *, at=NOW, received=None, mode="require", trust=TRUST, extra=None, purpose="signer", **named):
    person = anna()
    return believe(person.certificate, at, at if received is None else received, purpose, trust,
                   Revocation(mode, table), person.chain if extra is None else extra, **named)


def test_it_is_asked_once_in_a_slot():
    table = Table()
    first = ask(table)
    assert first.fresh
    asked = table.asked
    assert ask(table) is first
    assert ask(table, at=NOW + timedelta(seconds=1)) is first
    assert table.asked == asked == 2  # the signer and its authority
    ask(table, at=NOW + timedelta(seconds=SLOT_S))
    assert table.asked == 2 * asked


def test_a_new_generation_is_asked_anew():
    table = Table()
    assert ask(table).revoked.reason is None
    table.version, table.answer = "the next", Known("revoked")
    assert ask(table).revoked.reason is Reason.CERTIFICATE_REVOKED


@pytest.mark.parametrize("other", [
    {"mode": "soft"}, {"purpose": "recipient"}, {"trust": replace(TRUST, eku_required=True)}, {"extra": ()},
    {"at": PAST, "received": NOW}, {"vouched": True}])
def test_another_question_has_its_own_answer(other):
    table = Table()
    first = ask(table)
    assert ask(table, **other) is not first
    assert ask(table) is first


def test_another_table_of_algorithms_has_its_own_answers(monkeypatch):
    table = Table()
    first = ask(table)
    monkeypatch.setattr(algorithms, "TABLE_VERSION", "another")
    assert ask(table) is not first


def test_a_time_out_of_a_stamp_answers_for_its_reception_alone():
    table = Table()
    then = ask(table, at=PAST, received=NOW)
    assert ask(table, at=PAST, received=NOW) is then
    assert ask(table, at=PAST, received=NOW + timedelta(seconds=SLOT_S)) is not then
    assert ask(table, at=PAST) is not then


def test_an_answer_that_ends_within_the_slot_is_asked_again():
    table = Table(Known("good", fresh=True, until=NOW + timedelta(seconds=10)))
    first = ask(table)
    assert ask(table, at=NOW + timedelta(seconds=10)) is first
    assert ask(table, at=NOW + timedelta(seconds=11)) is not first


def test_what_asking_has_fetched_is_not_kept_under_the_old_generation():
    class Fetching(Table):
        def known(self, *asked):
            self.version = f"table {next(NUMBERS)}"
            return super().known(*asked)

    table = Fetching()
    assert ask(table) is not ask(table)


def test_the_banks_own_word_never_hides_a_revocation():
    """Of a certificate that is trusted by itself the issuer is found, if anybody has it."""
    person = anna()
    trust = TrustSet(signers=TRUST.signers, trusted=frozenset({person.certificate.sha256}))
    assert ask(Table(Known("revoked")), trust=trust).revoked.reason is Reason.CERTIFICATE_REVOKED
    assert ask(Table(Known("revoked")), trust=trust, extra=()).revoked.reason is Reason.REVOCATION_UNAVAILABLE
    assert ask(Table(Known("revoked")), trust=trust, extra=(), mode="soft").revoked.note is (
        Reason.REVOCATION_NOT_CHECKED)


def test_until_is_for_ever_where_nobody_says_otherwise():
    assert ask(Table()).until == FOREVER
