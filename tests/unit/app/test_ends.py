"""What of ours ends when, over the demo's bank and over generations written here."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.app.expiry import Ending, covered_by, ends
from gateway.app.store import Store
from gateway.demo.bank import Ports
from gateway.settings import Generation, Settings, load
from tests.support.pki import get_pki
from tests.support.process import demo_bank

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PKI = get_pki()


def certificate(begins: int, ends_in: int):
    """Valid from and to the first of January of these years."""
    return PKI.signer("p-256", email="otp@bank.example", not_before=datetime(begins, 1, 1, tzinfo=UTC),
                      not_after=datetime(ends_in, 1, 1, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(demo_bank(tmp_path, Ports()).config)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


def named(found: tuple[Ending, ...], what: str, name: str = "") -> list[Ending]:
    return [one for one in found if one.what == what and one.name == (name or one.name)]


def test_everything_that_the_settings_name_is_watched(settings: Settings, store: Store) -> None:
    found = ends(settings, store, NOW)
    assert {(one.name, one.what) for one in found} >= {
        *((key.name, "key that signs" if key.purpose == "sign" else "key that opens mail") for key in settings.keys),
        *((stamper.name, "key that stamps") for stamper in settings.stampers if stamper.certificate),
        *((escrow.name, "escrow") for escrow in settings.escrow)}
    assert {one.what for one in found} >= {"root for signers", "root for recipients", "root for stampers"}
    assert [one.not_after for one in found] == sorted(one.not_after for one in found)
    assert all(one.subject for one in found)


def test_a_listener_and_the_http_service_have_ends_too(settings: Settings, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "tls.pem"
    path.write_bytes(certificate(2026, 2027).chain_pem)
    listeners = tuple(one.model_copy(update={"certificate": path}) for one in settings.listeners)
    found = ends(settings.model_copy(update={"listeners": listeners}), store, NOW)
    assert [one.not_after.year for one in named(found, "TLS of a listener")] == [2027] * len(listeners)


def test_a_prepared_rollover_is_no_end(settings: Settings, store: Store, tmp_path: Path) -> None:
    old, new = certificate(2026, 2027).certificate, certificate(2026, 2029)
    assert covered_by([old, new.certificate], NOW) is new.certificate
    path = tmp_path / "new.crt.pem"
    path.write_bytes(new.pem)
    otp = settings.keys[0]
    rolled = otp.model_copy(update={"generations": (Generation(key=otp.key, certificate=path),)})
    before, after = (named(ends(settings.model_copy(update={"keys": (key, *settings.keys[1:])}), store, NOW),
                           "key that signs", otp.name) for key in (otp, rolled))
    assert len(before) == len(after) == 1
    assert after[0].not_after == max(before[0].not_after, new.certificate.not_after)


@pytest.mark.parametrize(("years", "end"), [
    ([(2026, 2027)], 2027),
    ([(2026, 2027), (2026, 2028), (2027, 2030)], 2030),  # a chain, one after the other
    ([(2026, 2027), (2028, 2030)], 2027),  # a gap: mail stops there
    ([(2020, 2021), (2026, 2027)], 2027),  # an old one for decrypting
    ([(2020, 2021), (2022, 2023)], 2023),  # ended already: the newest
    ([(2020, 2021), (2028, 2029)], 2029),  # not begun: nothing is valid now
])
def test_the_end_of_what_is_covered(years, end) -> None:
    found = covered_by([certificate(*pair).certificate for pair in years], NOW)
    assert found.not_after.year == end


def test_what_cannot_be_read_hides_nothing_else(settings: Settings, store: Store) -> None:
    path = settings.keys[0].certificate
    everything = len(ends(settings, store, NOW))
    path.write_bytes(b"no certificate")
    assert len(ends(settings, store, NOW)) == everything - 1
