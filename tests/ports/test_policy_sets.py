"""The contract of the policy sets: the set of any past moment can be shown; each change is recorded once."""

from datetime import timedelta

import pytest

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.policy_sets import DbPolicySets
from gateway.errors import GatewayError, Reason
from gateway.ports.audit import AuditQuery

FIRST = ("a" * 64, (("staff.yaml", "rules: 1\n"),))
SECOND = ("b" * 64, (("staff.yaml", "rules: 2 ß\n"), ("in.yaml", "")))


def records(database):
    return [(entry.object_id, entry.record.details["before"])
            for entry in DbAudit(database).entries(AuditQuery(act="policy.in_force"))][::-1]


def test_each_change_is_recorded_once_and_each_set_is_kept(database, again) -> None:
    one, other = DbPolicySets(database), DbPolicySets(again())
    for sets, (digest, texts) in ((one, FIRST), (other, FIRST), (one, SECOND), (other, SECOND), (one, FIRST)):
        sets.put_in_force(digest, texts)
    assert records(database) == [(FIRST[0], ""), (SECOND[0], FIRST[0]), (FIRST[0], SECOND[0])]
    assert [one.texts(digest[:8]) for digest, _ in (FIRST, SECOND)] == [FIRST, SECOND]


def test_the_set_in_force_is_the_last_one(database) -> None:
    sets = DbPolicySets(database)
    assert sets.in_force() is None
    for digest, texts in (FIRST, SECOND, FIRST):
        sets.put_in_force(digest, texts)
        assert sets.in_force() == texts


def test_the_set_of_a_past_moment(database) -> None:
    sets = DbPolicySets(database)
    times = []
    for digest, texts in (FIRST, SECOND):
        sets.put_in_force(digest, texts)
        times.append(sets.at(database.now())[1])
    assert sets.at(times[0])[0] == FIRST[0]
    assert sets.at(times[1] - timedelta(microseconds=1))[0] == FIRST[0]
    assert sets.at(times[1]) == (SECOND[0], times[1])
    with pytest.raises(GatewayError) as caught:
        sets.at(times[0] - timedelta(microseconds=1))
    assert caught.value.reason is Reason.USAGE


@pytest.mark.parametrize("digest", ["", "c", "%"])
def test_an_unknown_digest_is_usage(database, digest) -> None:
    sets = DbPolicySets(database)
    sets.put_in_force(*FIRST)
    with pytest.raises(GatewayError) as caught:
        sets.texts(digest)
    assert caught.value.reason is Reason.USAGE
