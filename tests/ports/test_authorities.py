"""The contract of UnknownAuthorities, over the database. Strangers choose the content: number and size are bounded."""

from datetime import timedelta

import pytest

from gateway.adapters.db.certificates import authorities
from gateway.adapters.db.certificates.authorities import DbAuthorities
from gateway.errors import GatewayError, Reason
from gateway.ports.authorities import UnknownAuthority
from tests.support.pki import NOW, get_pki

ROOT = get_pki("Strangers").root_certificate
LATER = NOW + timedelta(days=1)


@pytest.fixture
def met(database):
    return DbAuthorities(database)


def meet(met, number=0, times=1, at=NOW):
    for _ in range(times):
        met.record(f"CN=Authority {number}", "", None, f"{number}@customer.example", at)


def test_one_that_is_met_again_is_counted(met) -> None:
    met.record(ROOT.subject, ROOT.issuer, ROOT.der, "eve@customer.example", NOW)
    met.record(ROOT.subject, ROOT.issuer, ROOT.der, "mallory@customer.example", LATER)
    assert met.list() == (UnknownAuthority(ROOT.sha256, ROOT.subject, ROOT.issuer, ROOT.der, "mallory@customer.example",
                                       NOW, LATER, 2),)
    assert met.untold() == met.list()


def test_one_without_a_certificate_is_known_by_its_name(met) -> None:
    met.record(ROOT.subject, "", None, "eve@customer.example", NOW)
    met.record(ROOT.subject, ROOT.issuer, ROOT.der, "eve@customer.example", NOW)
    assert [one.der for one in sorted(met.list(), key=lambda one: one.key != ROOT.sha256)] == [ROOT.der, None]


def test_the_administrator_is_told_once(met) -> None:
    meet(met, 1, times=2)
    meet(met, 2, times=5)
    untold = met.untold()
    assert [one.count for one in untold] == [5, 2]
    met.mark_reported([untold[0].key], LATER)
    assert [one.count for one in met.untold()] == [2]
    meet(met, 2, at=LATER)
    assert [one.count for one in met.untold()] == [2], "met again, told already"
    assert next(one for one in met.list() if one.count == 6).reported_at == LATER


def test_what_is_ignored_stays_ignored(met) -> None:
    meet(met)
    (one,) = met.list()
    assert met.ignore(one.key[:10], LATER).key == one.key
    meet(met, at=LATER)
    assert (met.list(), met.untold()) == ((), ())
    assert [ignored.count for ignored in met.list(ignored=True)] == [2]
    assert met.get(one.key).key == one.key


@pytest.mark.parametrize("beginning", ["0", "", "xyz", "%", "f" * 64])
def test_what_names_none_or_several_is_refused(met, beginning) -> None:
    with pytest.raises(GatewayError) as refused:
        met.ignore(beginning, NOW)
    assert refused.value.reason is Reason.USAGE
    for number in range(40):
        meet(met, number)
    with pytest.raises(GatewayError) as refused:
        met.get(min((one.key for one in met.list()), key=lambda key: sum(
            other.key[0] == key[0] for other in met.list()) < 2)[0])
    assert refused.value.reason is Reason.USAGE


def test_a_flood_neither_grows_it_nor_drives_out_the_regular_ones(met, monkeypatch) -> None:
    monkeypatch.setattr(authorities, "ROWS_MAX", 10)
    meet(met, 1, times=authorities.REGULAR)
    meet(met, 2)
    for number in range(100, 130):
        meet(met, number, at=NOW + timedelta(seconds=number))
    left = {one.subject for one in met.list()}
    assert len(left) == 10
    assert "CN=Authority 1" in left
    assert "CN=Authority 2" not in left, "met least, and longest ago"
    assert "CN=Authority 129" in left


def test_when_all_are_regular_newcomers_wait_outside(met, monkeypatch) -> None:
    monkeypatch.setattr(authorities, "ROWS_MAX", 3)
    for number in range(3):
        meet(met, number, times=authorities.REGULAR)
    meet(met, 9)
    assert {one.count for one in met.list()} == {authorities.REGULAR}


def test_ignored_ones_take_no_room(met, monkeypatch) -> None:
    monkeypatch.setattr(authorities, "ROWS_MAX", 1)
    meet(met, 1)
    met.ignore(met.list()[0].key, NOW)
    meet(met, 2)
    assert [one.subject for one in met.list()] == ["CN=Authority 2"]


def test_large_ones_and_odd_texts_are_cut(met) -> None:
    met.record("CN=" + "x" * 9999 + "\ud800", "\udcff", bytes(authorities.DER_OCTETS_MAX + 1), "a@b", NOW)
    (one,) = met.list()
    assert one.der is None
    assert len(one.subject) == authorities.TEXT_CHARACTERS_MAX
