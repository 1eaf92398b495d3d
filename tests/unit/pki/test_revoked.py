"""Records of lists, what follows from one list after another, and what the table answers at t.

Expectations are RFC 5280 3.3, 5.2.4, 5.3.1, 6.3.3 and section 3 of the house's own plan: judged at the right time.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.entries import (
    WIDTH,
    NewList,
    authority_id,
    carry_over,
    count,
    find,
    pack,
    serial_key,
    stored,
)
from gateway.pki.revocation.learn import learn_list
from gateway.pki.revocation.table import StoredRevocation, judge_known, rows_of
from gateway.pki.revocation.verdict import UNKNOWN, Known
from gateway.ports.revocation import StoredAnswer, StoredList
from tests.support.pki import NOW, get_pki
from tests.support.sealed import anna, trust_of

DAY = timedelta(days=1)
ISSUER = parse_certificate(get_pki().intermediate.der)
ANNA = anna().certificate
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOLD, REMOVED, COMPROMISE, SUPERSEDED, NONE = 6, 8, 1, 4, 255


def second(at):
    return int((at - EPOCH).total_seconds())


def records(*entries):
    """(serial, time, reason) of each."""
    return pack((serial_key(serial), second(at), reason) for serial, at, reason in entries)


def row(*entries, kind="full", scope="", number=1, base=None, made=NOW - DAY, until=NOW + DAY, since=None):
    return StoredList(authority_id(ISSUER), scope, kind, "http://crl.example", number, base, made, until,
                      since or made, made, "0" * 64, records(*entries))


def asked(*lists, answer=None, at=NOW, received=NOW, certificate=ANNA):
    return judge_known(certificate, rows_of(lists), answer, at, received)


def said(status, *, made=NOW - DAY, until=NOW + DAY, revoked_at=None, reason=None):
    return StoredAnswer(authority_id(ISSUER), ANNA.serial, status, made, until, revoked_at, reason, made)


# --- records ----------------------------------------------------------------------------------------------------------

serials = st.integers(min_value=-2**200, max_value=2**200) | st.integers(min_value=0, max_value=40)
entries = st.lists(st.tuples(serials, st.integers(min_value=-2**33, max_value=2**35),
                             st.sampled_from([NONE, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10])), max_size=60)


def worse(one, other):
    """The rule by itself: final before hold before removal, then the earlier, then the key in doubt (RFC 3161 4)."""
    def rank(entry):
        return {HOLD: 1, REMOVED: 2}.get(entry[1], 0), entry[0], entry[1] in {0, 3, 4, 5}, entry[1]

    return min(one, other, key=rank)


@given(entries, serials)
@settings(max_examples=300, deadline=None)
def test_records_are_a_dictionary(given_entries, other):
    model = {}
    for serial, at, reason in given_entries:
        model[serial] = worse(model[serial], (at, reason)) if serial in model else (at, reason)
    blob = pack((serial_key(serial), at, reason) for serial, at, reason in given_entries)
    assert len(blob) == WIDTH * len(model)
    for serial in (*model, other):
        found = find(blob, serial_key(serial))
        expected = model.get(serial)
        assert (None if found is None else (second(found.at), found.reason)) == expected


@given(entries, entries)
@settings(max_examples=200, deadline=None)
def test_what_is_carried_over_is_the_old_without_holds_and_the_new(old, new):
    before = {serial: find(pack([(serial_key(s), at, r) for s, at, r in old]), serial_key(serial))
              for serial, _, _ in old}
    after = {serial_key(serial) for serial, _, _ in new}
    merged = carry_over(pack((serial_key(s), at, r) for s, at, r in old),
                        pack((serial_key(s), at, r) for s, at, r in new))
    keys = [merged[start:start + 20] for start in range(0, len(merged), WIDTH)]
    assert keys == sorted(set(keys))
    for serial, entry in before.items():
        kept = find(merged, serial_key(serial))
        if serial_key(serial) in after:
            assert kept is not None
            assert not kept.carried
        elif entry.reason in (HOLD, REMOVED):
            assert kept is None
        else:
            assert kept == (entry.at, entry.reason, True)
    assert count(merged) >= len(after)


# --- one list after another -------------------------------------------------------------------------------------------


def new(*listed, number=2, made=NOW, kind="full", since=None):
    return NewList(authority_id(ISSUER), "", kind, number, None, made, made + 7 * DAY, since or made, "1" * 64,
                   records(*listed))


def after(before, newer):
    return stored(newer, before, url="u", fetched_at=NOW)


def test_the_first_list():
    first = after(None, new((7, NOW - DAY, NONE)))
    assert (first.since, count(first.records), first.fetched_at) == (NOW, 1, NOW)


def test_what_vanishes_has_expired_and_stays_revoked():
    merged = after(row((7, NOW - 9 * DAY, COMPROMISE), (8, NOW - 9 * DAY, HOLD)), new((9, NOW - DAY, NONE)))
    assert find(merged.records, serial_key(7)) == (NOW - 9 * DAY, COMPROMISE, True)
    assert find(merged.records, serial_key(8)) is None  # a hold that vanishes was lifted
    assert merged.since == NOW - DAY
    again = after(merged, new(number=3, made=NOW + DAY))
    assert find(again.records, serial_key(7)).carried


@pytest.mark.parametrize(("number", "made", "unbroken"), [
    (2, NOW + 30 * DAY, True),  # the very next one, whenever it came
    (1, NOW + 30 * DAY, True),  # the same number again
    (3, NOW, True), (3, NOW + timedelta(seconds=1), False),  # one between, which may have named what is gone by now
    (None, NOW, True), (None, NOW + DAY, False)])
def test_a_row_without_a_gap_goes_on_to_speak_of_old_certificates(number, made, unbroken):
    before = row(made=NOW - DAY)
    assert after(before, new(number=number, made=made)).since == (NOW - DAY if unbroken else made)


def test_expired_certificates_that_are_on_the_list_need_no_row():
    assert after(row(), new(number=9, made=NOW + 30 * DAY, since=NOW - 900 * DAY)).since == NOW - 900 * DAY


# --- the table: what names it -----------------------------------------------------------------------------------------


def test_nothing_is_known():
    assert asked() == UNKNOWN


def test_not_on_the_list():
    assert asked(row()) == Known("good", fresh=True, until=NOW + DAY)


@pytest.mark.parametrize(("at", "status"), [
    (NOW - 3 * DAY, "good"), (NOW - 2 * DAY - timedelta(microseconds=1), "good"), (NOW - 2 * DAY, "revoked"),
    (NOW, "revoked")])
def test_a_revocation_counts_from_its_very_date(at, status):
    found = asked(row((ANNA.serial, NOW - 2 * DAY, SUPERSEDED)), at=at)
    assert (found.status, found.fresh) == (status, False)
    assert (found.revoked_at, found.reason) == (NOW - 2 * DAY, "superseded")


def test_revoked_is_revoked_however_old_the_list_is():
    old = row((ANNA.serial, NOW - 90 * DAY, NONE), made=NOW - 80 * DAY, until=NOW - 70 * DAY)
    assert asked(old).status == "revoked"


def test_on_hold():
    held = row((ANNA.serial, NOW - 2 * DAY, HOLD))
    assert asked(held) == Known("on_hold", revoked_at=NOW - 2 * DAY, reason="certificateHold")
    assert asked(held, at=NOW - 3 * DAY).status == "good"


def test_revoked_wins_over_a_hold_and_over_good():
    held = row((ANNA.serial, NOW - 5 * DAY, HOLD))
    assert asked(held, answer=said("revoked", revoked_at=NOW - DAY)).status == "revoked"
    assert asked(row((ANNA.serial, NOW - DAY, NONE)), answer=said("good", made=NOW)).status == "revoked"


@pytest.mark.parametrize(("answered", "status"), [(NOW - DAY / 2, "good"), (NOW - 2 * DAY, "on_hold")])
def test_a_hold_counts_until_something_newer_does_not_know_it(answered, status):
    assert asked(row((ANNA.serial, NOW - 5 * DAY, HOLD)), answer=said("good", made=answered)).status == status


def test_an_answer_alone():
    assert asked(answer=said("good")) == Known("good", fresh=True, until=NOW + DAY)
    assert asked(answer=said("unknown")) == UNKNOWN
    assert asked(answer=said("revoked", revoked_at=NOW - DAY, reason="certificateHold")).status == "on_hold"
    assert asked(answer=said("revoked", revoked_at=NOW - DAY, reason="keyCompromise")).reason == "keyCompromise"


# --- the table: what clears it ----------------------------------------------------------------------------------------


def test_a_list_out_of_date_tells_of_the_time_before_it():
    """What was not revoked when the list was made had not been revoked before, either."""
    old = row(made=NOW - 3 * DAY, until=NOW - DAY)
    assert asked(old) == UNKNOWN
    assert asked(old, at=NOW - 2 * DAY) == UNKNOWN
    assert asked(old, at=NOW - 4 * DAY) == Known("good")
    assert asked(answer=said("good", made=NOW - 3 * DAY, until=NOW - DAY), at=NOW - 4 * DAY) == Known("good")


def test_lists_and_answers_that_do_not_say_how_long_they_hold():
    assert asked(row(made=NOW - timedelta(hours=23), until=None)).fresh
    assert asked(row(made=NOW - timedelta(hours=25), until=None)) == UNKNOWN
    assert asked(answer=said("good", made=NOW - timedelta(minutes=59), until=None)).fresh
    assert asked(answer=said("good", made=NOW - timedelta(minutes=61), until=None)) == UNKNOWN


@pytest.mark.parametrize(("since", "status"), [
    (NOW - 100 * DAY, "good"), (NOW - 100 * DAY + timedelta(seconds=1), "unknown")])
def test_of_an_expired_certificate_only_a_row_speaks_that_began_while_it_was_valid(since, status):
    late = anna(not_after=NOW - 100 * DAY).certificate
    assert asked(row(since=since), certificate=late, at=NOW - 150 * DAY).status == status


def test_lists_of_some_reasons_must_speak_of_all_together():
    some, rest = (row(scope=f"reasons={','.join(map(str, bits))}") for bits in ([1, 2], [3, 4, 5, 6, 7, 8]))
    assert asked(some) == UNKNOWN
    assert asked(some, rest).fresh
    assert asked(some, replace(rest, next_update=NOW - timedelta(hours=1))) == UNKNOWN
    then = asked(some, replace(rest, next_update=NOW - timedelta(hours=1)), at=NOW - 2 * DAY)
    assert (then.status, then.fresh) == ("good", False)


@pytest.mark.parametrize(("scope", "good"), [
    ("users", True), ("authorities", False), ("attributes", False), ("points=00000000", False), ("by=00000000", False)])
def test_a_list_speaks_of_its_scope_alone(scope, good):
    assert (asked(row(scope=scope)).status == "good") is good
    named = row((ANNA.serial, NOW - DAY, NONE), scope=scope)
    assert (asked(named).status == "revoked") is good


def test_a_list_of_other_reasons_lifts_no_hold():
    """It would not name one either."""
    held = row((ANNA.serial, NOW - 5 * DAY, HOLD), made=NOW - DAY)
    keys_only = row(scope="reasons=1,2", made=NOW)
    assert asked(held, keys_only).status == "on_hold"
    holds_too = row(scope="reasons=1,2,6", made=NOW)
    assert asked(held, holds_too).status == "unknown", "lifted; of the other reasons nobody speaks"


# --- deltas -----------------------------------------------------------------------------------------------------------


def delta(*listed, number=12, base=10, made=NOW - timedelta(hours=1), until=NOW + timedelta(hours=5), scope=""):
    return row(*listed, kind="delta", number=number, base=base, made=made, until=until, scope=scope)


@pytest.mark.parametrize(("full", "newer", "status"), [
    ((), (ANNA.serial, NOW - DAY, COMPROMISE), "revoked"),
    ((ANNA.serial, NOW - 2 * DAY, HOLD), (ANNA.serial, NOW, REMOVED), "good"),
    ((ANNA.serial, NOW - 2 * DAY, COMPROMISE), (ANNA.serial, NOW, REMOVED), "revoked"),  # it has expired, no more
    ((ANNA.serial, NOW - 2 * DAY, HOLD), (ANNA.serial, NOW - 2 * DAY, COMPROMISE), "revoked"),
    ((ANNA.serial, NOW - 2 * DAY, HOLD), (), "on_hold"), ((), (ANNA.serial, NOW, REMOVED), "good"),
    ((), (ANNA.serial, NOW - DAY, HOLD), "on_hold")])
def test_a_delta_lies_over_its_base(full, newer, status):
    base = row(*[full] if full else [], number=10)
    assert asked(base, delta(*[newer] if newer else [])).status == status


@pytest.mark.parametrize(("number", "base_number", "delta_number", "fits"), [
    (10, 10, 12, True), (11, 10, 12, True), (12, 10, 12, True), (9, 10, 12, False), (13, 10, 12, False),
    (None, 10, 12, False), (10, 10, None, False)])
def test_a_delta_needs_a_base_that_it_builds_on(number, base_number, delta_number, fits):
    """RFC 5280 5.2.4 c and d."""
    full = row(number=number)
    old = replace(full, next_update=NOW - timedelta(hours=1))
    found = asked(old, delta(number=delta_number, base=base_number))
    assert (found.status == "good") is fits, "it keeps only its own base in force"
    lifted = asked(row((ANNA.serial, NOW - 2 * DAY, HOLD), number=number),
                   delta((ANNA.serial, NOW, REMOVED), number=delta_number, base=base_number))
    assert (lifted.status == "good") is fits
    found = asked(full, delta((ANNA.serial, NOW - DAY, NONE), number=delta_number, base=base_number))
    assert found.status == "revoked", "its issuer has said so, whatever is missing between"


def test_a_delta_of_another_scope():
    assert asked(row(number=10), delta((ANNA.serial, NOW - DAY, NONE), scope="users")).status == "revoked"
    assert asked(row(number=10), delta((ANNA.serial, NOW - DAY, NONE), scope="authorities")).status == "good"
    lifted = delta((ANNA.serial, NOW, REMOVED), scope="users")
    assert asked(row((ANNA.serial, NOW - 2 * DAY, HOLD), number=10), lifted).status == "on_hold"


def test_a_delta_alone_makes_nothing_good():
    assert asked(delta()) == UNKNOWN
    assert asked(delta((ANNA.serial, NOW - DAY, NONE))).status == "revoked"
    assert asked(delta((ANNA.serial, NOW - DAY, HOLD))).status == "on_hold"


def test_what_an_older_delta_named_stays_revoked_while_the_new_base_is_not_here_yet():
    def new(one):
        return NewList(one.authority, one.scope, one.kind, one.number, one.base_number, one.this_update,
                       one.next_update, one.since, one.sha256, one.records)

    before = delta((ANNA.serial, NOW - DAY, NONE), number=12, base=10)
    after = stored(new(delta(number=21, base=20, made=NOW)), before, url="", fetched_at=NOW)
    assert asked(row(number=10), after).status == "revoked"


def test_a_delta_keeps_its_base_in_force():
    old = row(number=10, made=NOW - 9 * DAY, until=NOW - DAY)
    assert asked(old, delta()) == Known("good", fresh=True, until=NOW + timedelta(hours=5))
    stale = delta(made=NOW - 2 * DAY, until=NOW - DAY)
    assert asked(row(number=10), stale).until == NOW + DAY  # the base by itself is in force still


# --- the table of the store -------------------------------------------------------------------------------------------


class Store:
    """A store in memory that counts what it is asked."""

    def __init__(self):
        self.number, self.kept, self.answers, self.asked, self.broken = 1, {}, {}, 0, False

    def generation(self):
        if self.broken:
            raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)
        return self.number

    def lists(self, authority):
        self.asked += 1
        if self.broken:
            raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)
        return tuple(one for one in self.kept.values() if one.authority == authority)

    def answer(self, authority, serial):
        return self.answers.get((authority, serial))

    def put_list(self, one):
        before = self.kept.get((one.authority, one.scope, one.kind))
        if before is not None and before.this_update > one.this_update:
            return False
        self.kept[one.authority, one.scope, one.kind] = one
        self.number += 1
        return True


class Ticks:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_new_generation_is_seen_within_a_second_and_the_store_is_not_asked_more_often():
    store, ticks = Store(), Ticks()
    table = StoredRevocation(store, monotonic=ticks)
    assert table.known(ANNA, ISSUER, NOW, NOW) == UNKNOWN
    version = table.version
    store.put_list(row((ANNA.serial, NOW - DAY, NONE)))
    assert (table.version, table.known(ANNA, ISSUER, NOW, NOW)) == (version, UNKNOWN)
    assert store.asked == 1
    ticks.now = 1.0
    assert table.version != version
    assert table.known(ANNA, ISSUER, NOW, NOW).status == "revoked"
    assert table.known(ANNA, ISSUER, NOW, NOW).status == "revoked"
    assert store.asked == 2


def test_two_tables_never_share_a_version():
    store = Store()
    assert StoredRevocation(store).version != StoredRevocation(store).version


def test_a_store_that_cannot_tell_leaves_everything_unknown():
    store = Store()
    store.broken = True
    assert StoredRevocation(store).known(ANNA, ISSUER, NOW, NOW) == Known("unknown", until=NOW)


def test_what_is_not_known_is_wanted_and_looked_up_once_more():
    store, wanted = Store(), []

    def want(certificate, issuer):
        wanted.append((certificate, issuer))
        store.put_list(row())

    table = StoredRevocation(store, want=want)
    assert table.known(ANNA, ISSUER, NOW, NOW).status == "good"
    assert table.known(ANNA, ISSUER, NOW, NOW).status == "good"
    assert wanted == [(ANNA, ISSUER)]


def test_it_is_not_wanted_more_than_once_a_minute_nor_where_it_is_revoked():
    store, ticks, wanted = Store(), Ticks(), []
    table = StoredRevocation(store, want=lambda *pair: wanted.append(pair), monotonic=ticks)
    for ticks.now in (0.0, 1.0, 59.0, 61.0):
        table.known(ANNA, ISSUER, NOW, NOW)
    assert len(wanted) == 2
    store.put_list(row((ANNA.serial, NOW - DAY, NONE)))
    ticks.now = 200.0
    assert table.known(ANNA, ISSUER, NOW, NOW).status == "revoked"
    assert len(wanted) == 2


# --- from octets to the store -----------------------------------------------------------------------------------------


def test_lists_are_learned_one_after_another_and_never_backwards():
    from gateway.authority.crl import RevokedEntry, build_crl

    pki, store = get_pki(), Store()
    trust = trust_of(pki)

    def learn(number, made, *listed):
        der = build_crl(pki.intermediate, listed, number, made, made + DAY)
        return learn_list(store, der, ISSUER, (), trust, NOW, url="http://crl.example")

    learn(1, NOW - 3 * DAY, RevokedEntry(7, NOW - 9 * DAY))
    third = learn(3, NOW - DAY)
    assert find(third.records, serial_key(7)).carried
    assert third.since == NOW - DAY
    with pytest.raises(GatewayError) as caught:
        learn(2, NOW - 2 * DAY, RevokedEntry(7, NOW - 9 * DAY))
    assert caught.value.reason is Reason.REVOCATION_STALE
    assert learn(4, NOW - timedelta(hours=1)).since == NOW - DAY
    assert learn(4, NOW - timedelta(hours=1)).sha256 == store.kept[authority_id(ISSUER), "", "full"].sha256


def test_a_list_of_a_scope_has_its_own_place():
    from gateway.authority.crl import IssuingPoint, build_crl

    pki, store = get_pki(), Store()
    for point in (None, IssuingPoint(users_only=True), IssuingPoint(authorities_only=True)):
        learn_list(store, build_crl(pki.intermediate, (), 1, NOW - DAY, NOW + DAY, point=point), ISSUER, (),
                   trust_of(pki), NOW)
    assert [key[1] for key in store.kept] == ["", "users", "authorities"]
