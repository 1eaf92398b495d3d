"""A recipient's certificate out of several sources. Truth: the rules at the top of `pki.lookup`, one by one."""

import pytest

from gateway.clock import FrozenClock
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Absent, CertificateRow, Conflict, Found, Unavailable, Unusable
from gateway.pki.lookup import LookUp
from gateway.pki.revocation.verdict import Known, Revocation
from gateway.ports.certificates import Reply
from tests.support.pki import LONG_AGO, NOW, get_pki
from tests.support.sealed import trust_of

BOB = "bob@customer.example"


def row(person, customer=None, source="store", **fields):
    certificate = person.certificate
    return CertificateRow(certificate.sha256, certificate.der, certificate.emails, certificate.not_before,
                          certificate.not_after, customer=customer, source=source, **fields)


def bob(**options):
    return get_pki().recipient("p-256", **{"email": BOB, **options})


OLD, GOOD, SECOND = bob(not_after=LONG_AGO), bob(), bob(which=1)
STRANGER = get_pki().recipient("p-256", email=BOB, name="Somebody else", which=2)


class Source:
    """A plain source, like the store: rows, or a trouble."""

    def __init__(self, name, *rows, trouble=None):
        self.name, self.answer, self.trouble, self.asked = name, rows, trouble, []

    def rows(self, address):
        self.asked.append(address)
        if self.trouble is not None:
            raise self.trouble
        return self.answer


class Outside(Source):
    """One that is guarded: it serves some addresses, and may answer from before."""

    kept, served = "asked", True

    def serves(self, address):
        return self.served

    def reply(self, address):
        return Reply(self.rows(address), self.kept)


DEAD = GatewayError(Reason.CERTIFICATE_UNAVAILABLE, "partner: no answer within 5 s", retry=True)


def look_up(store, *outside, order=None, **options):
    sources = order or (store, *outside)
    return LookUp(store, sources, trust_of(get_pki(), intermediates=True), FrozenClock(NOW), **options)


def shas(rows):
    return [one.sha256 for one in rows]


def test_enrolled_ones_are_asked_of_the_store_alone():
    store, partner = Source("store"), Outside("partner", row(GOOD), trouble=DEAD)
    assert look_up(store, partner)(BOB, "enrolled") == Absent()
    store.answer = (row(GOOD),)
    answer = look_up(store, partner)(BOB, "enrolled")
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_NOT_ENROLLED]
    store.answer = (row(GOOD, "1001"),)
    assert look_up(store, partner, order=(partner,))(BOB, "enrolled") == Found((row(GOOD, "1001"),), enrolled=True)
    assert partner.asked == []


@pytest.mark.parametrize("first", ["store", "partner"])
def test_bound_ones_end_it_wherever_the_store_stands_and_useless_or_not(first):
    """The day the customer's own certificate ends, a stranger's must not step in."""
    store, partner = Source("store", row(OLD, "1001")), Outside("partner", row(GOOD, source="partner"))
    order = (store, partner) if first == "store" else (partner, store)
    answer = look_up(store, order=order)(BOB)
    assert isinstance(answer, Unusable)
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_EXPIRED]
    assert partner.asked == []


def test_the_first_that_finds_something_ends_it_and_tells_of_the_losers_before():
    store = Source("store", row(OLD))
    partner, world = Outside("partner", row(GOOD, source="partner")), Outside("world", row(STRANGER))
    answer = look_up(store, partner, world)(BOB)
    assert isinstance(answer, Found)
    assert not answer.enrolled
    assert shas(answer.rows) == [GOOD.certificate.sha256]
    assert [(loser.row.source, loser.reason) for loser in answer.losers] == [("store", Reason.CERTIFICATE_EXPIRED)]
    assert world.asked == []


def test_the_order_is_the_settings_own():
    store, partner = Source("store", row(GOOD)), Outside("partner", row(SECOND, source="partner"))
    assert shas(look_up(store, partner)(BOB).rows) == [GOOD.certificate.sha256]
    assert shas(look_up(store, order=(partner, store))(BOB).rows) == [SECOND.certificate.sha256]
    assert shas(look_up(store, order=(partner,))(BOB).rows) == [SECOND.certificate.sha256]


def test_a_conflict_ends_it():
    partner, world = Outside("partner", row(GOOD), row(STRANGER)), Outside("world", row(GOOD))
    assert isinstance(look_up(Source("store"), partner, world)(BOB), Conflict)
    assert world.asked == []


def test_a_source_that_cannot_tell_wins_over_whatever_later_ones_say():
    partner, world = Outside("partner", trouble=DEAD), Outside("world", row(GOOD))
    answer = look_up(Source("store", row(OLD)), partner, world)(BOB)
    assert isinstance(answer, Unavailable)
    assert answer.detail == "partner: no answer within 5 s"
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_EXPIRED]
    assert world.asked == []


def test_a_source_behind_the_one_that_found_may_be_dead():
    store, partner = Source("store", row(GOOD)), Outside("partner", trouble=DEAD)
    assert isinstance(look_up(store, partner)(BOB), Found)


def test_a_store_that_cannot_tell_is_unavailable_for_both_questions():
    store = Source("store", trouble=GatewayError(Reason.STORE_UNAVAILABLE, "locked", retry=True))
    partner = Outside("partner", row(GOOD))
    for want in ("any", "enrolled"):
        for order in ((store, partner), (partner, store)):
            assert look_up(store, order=order)(BOB, want) == Unavailable("locked")
    assert partner.asked == []


def test_nothing_usable_anywhere_is_unusable_with_every_loser_once():
    store = Source("store", row(OLD))
    partner = Outside("partner", row(OLD, source="partner"), row(get_pki("Strangers").recipient("p-256", email=BOB)))
    answer = look_up(store, partner)(BOB)
    assert isinstance(answer, Unusable)
    assert [loser.row.source for loser in answer.losers] == ["store", "store"]
    assert len(set(shas(loser.row for loser in answer.losers))) == 2


def test_absent_needs_every_source_to_have_answered():
    assert look_up(Source("store"), Outside("partner"), Outside("world"))(BOB) == Absent()
    assert isinstance(look_up(Source("store"), Outside("partner"), Outside("world", trouble=DEAD))(BOB), Unavailable)


def test_a_source_that_does_not_serve_the_address_is_not_asked():
    partner = Outside("partner", trouble=DEAD)
    partner.served = False
    assert look_up(Source("store"), partner)(BOB) == Absent()
    assert partner.asked == []


def test_a_lying_source_is_unusable_never_found():
    partner = Outside("partner", row(get_pki().recipient("p-256", email="eve@elsewhere.example")))
    answer = look_up(Source("store"), partner)(BOB)
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_ADDRESS_MISMATCH]


def test_what_the_store_knows_of_a_certificate_counts_wherever_it_is_found():
    """A directory cannot bring back what the bank has distrusted; what its holder reads comes from the store."""
    partner = Outside("partner", row(GOOD, source="partner"))
    distrusted = look_up(Source("store", row(GOOD, trust="distrusted")), order=(partner,))(BOB)
    assert [loser.reason for loser in distrusted.losers] == [Reason.CERTIFICATE_DISTRUSTED]
    known = row(GOOD, capabilities=b"\x30\x00")
    assert look_up(Source("store", known), order=(partner,))(BOB) == Found((known,), enrolled=False)


def test_unknown_revocation_that_is_required_defers_and_later_sources_are_not_asked():
    world = Outside("world", row(SECOND))
    look = look_up(Source("store", row(GOOD)), world, revocation=Revocation("require"))
    assert isinstance(look(BOB), Unavailable)
    assert world.asked == []

    class Good:
        version = "all good"

        def known(self, certificate, issuer, at, received):
            return Known("good")

    assert isinstance(look_up(Source("store", row(GOOD)), revocation=Revocation("require", Good()))(BOB), Found)


def test_explained_tells_what_every_source_said():
    store, partner, world = Source("store", row(OLD)), Outside("partner", row(GOOD)), Outside("world", trouble=DEAD)
    other = Outside("other")
    other.served, partner.kept = False, "stale"
    ticks = iter(range(100))
    look = look_up(store, other, partner, world, monotonic=lambda: float(next(ticks)))
    told = look.explained(BOB)
    assert isinstance(told.answer, Found)
    assert [(one.source, type(one.answer).__name__, one.kept, one.note) for one in told.sources] == [
        ("store", "Unusable", "asked", ""), ("other", "NoneType", "asked", "not_served"),
        ("partner", "Found", "stale", ""), ("world", "NoneType", "asked", "not_needed")]
    assert told.sources[2].seconds > 0
    every = look.explained(BOB, every=True)
    assert every.answer == told.answer, "who is asked besides does not change the answer"
    assert [(one.source, type(one.answer).__name__, one.note) for one in every.sources][3] == (
        "world", "Unavailable", "not_needed")


def test_explained_of_enrolled_ones_asks_nobody_outside_but_on_demand():
    store, partner = Source("store", row(GOOD, "1001")), Outside("partner", row(STRANGER))
    look = look_up(store, order=(partner, store))
    told = look.explained(BOB, "enrolled")
    assert [(one.source, one.note) for one in told.sources] == [("store", ""), ("partner", "not_needed")]
    assert partner.asked == []
    every = look.explained(BOB, "enrolled", every=True)
    assert every.answer == told.answer
    assert isinstance(every.sources[1].answer, Found)


def test_answers_and_explanations_never_differ():
    """Over every mixture of two directories and a store."""
    kinds = {"absent": (), "old": (row(OLD),), "good": (row(GOOD),), "two": (row(GOOD), row(STRANGER)), "dead": None}
    for own in kinds.values():
        for one in kinds.values():
            for other in kinds.values():
                def made(name, rows, kind=Outside):
                    return kind(name, trouble=DEAD) if rows is None else kind(name, *rows)

                look = look_up(made("store", own, Source), made("partner", one), made("world", other))
                for want in ("any", "enrolled"):
                    assert look(BOB, want) == look.explained(BOB, want).answer == look.explained(
                        BOB, want, every=True).answer
