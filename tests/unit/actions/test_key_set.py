"""Which generation of a key set signs at a time: the rule of docs/keys.md, as a table."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.actions.verb import KeySet
from gateway.cms.signed import SignerProfile, prepare
from gateway.model.scheme import SignScheme
from gateway.smime.draft import Signer
from tests.support.pki import get_pki

PKI = get_pki()


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


def signer(begins: int, ends: int, told: tuple[int, int] | None = None) -> Signer:
    person = PKI.signer("p-256", email="otp@bank.example", not_before=year(begins), not_after=year(ends))
    box = None
    if told is not None:
        box = PKI.recipient("p-256", not_before=year(told[0]), not_after=year(told[1])).certificate
    prepared = prepare(SignerProfile(person.certificate, (), SignScheme.ECDSA_SHA256, box))
    return Signer(f"{begins}-{ends}", person.certificate, prepared, lambda octets: octets)


def key_set(*signers: Signer) -> KeySet:
    return KeySet(signers[0], ("*",), frozenset(), signers[1:])


@pytest.mark.parametrize(("years", "at", "chosen"), [
    ([(2026, 2028)], 2027, "2026-2028"),
    ([(2026, 2028), (2027, 2030)], 2027, "2027-2030"),  # both valid: the one that ends last
    ([(2027, 2030), (2026, 2028)], 2027, "2027-2030"),  # wherever it stands
    ([(2026, 2028), (2028, 2030)], 2027, "2026-2028"),  # the coming one waits
    ([(2026, 2028), (2028, 2030)], 2028, "2028-2030"),  # both valid at that very second
    ([(2026, 2028), (2020, 2029)], 2027, "2020-2029"),  # an older one that ends later
    ([(2020, 2021), (2022, 2023)], 2027, "2022-2023"),  # none valid: the newest, as it did before
    ([(2020, 2021), (2029, 2030)], 2027, "2029-2030"),
    ([(2026, 2028), (2025, 2028)], 2027, "2026-2028"),  # equal ends: the younger
])
def test_who_signs(years: list[tuple[int, int]], at: int, chosen: str) -> None:
    assert key_set(*(signer(*pair) for pair in years)).signer_at(year(at)).name == chosen


def test_to_the_second() -> None:
    keys = key_set(signer(2026, 2028), signer(2027, 2030))
    assert keys.signer_at(year(2027) - timedelta(seconds=1)).name == "2026-2028"
    assert keys.signer_at(year(2027)).name == "2027-2030"
    only = key_set(signer(2026, 2028), signer(2020, 2027))
    assert only.signer_at(year(2028) + timedelta(seconds=1)).name == "2026-2028"


def test_what_is_told_follows_the_same_rule() -> None:
    """The generations of the key that opens, each beside the same signer."""
    keys = key_set(signer(2026, 2030, (2026, 2028)), signer(2026, 2030, (2027, 2029)))

    def told(at: int) -> datetime:
        found = keys.signer_at(year(at)).prepared.profile.encryption_certificate
        assert found is not None
        return found.not_after

    assert [told(at).year for at in (2026, 2027)] == [2028, 2029]
