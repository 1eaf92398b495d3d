"""The administrator is told of unknown authorities once, in the daily report, whose subject then says IMPORTANT; and
of algorithms when their end is near.

Truth: what vendors of such gateways do, and the house's rule that trust is never changed behind anybody's back.
"""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from gateway.app.processes.jobs import JobsContext
from gateway.clock import FrozenClock
from gateway.demo.bank import Ports
from gateway.errors import GatewayError
from gateway.settings import Settings, load
from tests.support.pki import get_pki
from tests.support.process import demo_bank
from tests.support.smtp import Hop

EIGHT = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0)
STRANGER = get_pki("Strangers").root_certificate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(demo_bank(tmp_path / "home", Ports(sink=1)).config)


def sent_to(settings: Settings, port: int) -> Settings:
    inbound = settings.next_hops.inbound.model_copy(update={"host": "127.0.0.1", "port": port, "tls": "none"})
    return settings.model_copy(update={"next_hops": settings.next_hops.model_copy(update={"inbound": inbound})})


def house_with_a_stranger(settings: Settings, at: datetime) -> JobsContext:
    jobs = JobsContext(settings, FrozenClock(at))
    jobs.store.authorities.record(STRANGER.subject, STRANGER.issuer, STRANGER.der, "eve@elsewhere.example", at)
    return jobs


def test_it_is_told_once_a_day_and_once_at_all(settings: Settings) -> None:
    with Hop() as hop:
        jobs = house_with_a_stranger(sent_to(settings, hop.port), EIGHT)
        try:
            jobs.report()
            jobs.report()
        finally:
            jobs.close()
        tomorrow = JobsContext(sent_to(settings, hop.port), FrozenClock(EIGHT + timedelta(days=1)))
        try:
            assert tomorrow.findings().unknown == []
        finally:
            tomorrow.close()
        (octets,) = hop.mails
    mail = message_from_bytes(octets, policy=policy.default)
    assert mail["Subject"].startswith("IMPORTANT:")
    text = mail.get_content()
    assert STRANGER.subject in text
    assert "sealgate cert unknown" in text


def test_a_report_that_cannot_be_sent_is_sent_later(settings: Settings) -> None:
    jobs = house_with_a_stranger(settings, EIGHT)
    try:
        with pytest.raises(GatewayError):
            jobs.report()
        assert [one.key for one in jobs.findings().unknown] == [STRANGER.sha256]
    finally:
        jobs.close()


def test_algorithms_are_told_when_their_end_is_near(settings: Settings) -> None:
    """Warned of for years by `sealgate check`, they are news only in the last days."""
    for at, told in ((datetime(2030, 11, 1, tzinfo=UTC), set()),
                     (datetime(2030, 12, 15, tzinfo=UTC), {"rsa-2048", "p-224", "sha224"}),
                     (datetime(2031, 1, 2, tzinfo=UTC), set())):
        jobs = JobsContext(settings, FrozenClock(at))
        try:
            assert {one.name for one in jobs.findings().ends if one.what == "algorithm"} == told
        finally:
            jobs.close()


def test_what_was_decided_meanwhile_is_not_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "stranger.pem").write_bytes(get_pki("Strangers").root_pem)
    trust = settings.trust.model_copy(update={"signers": (*settings.trust.signers, tmp_path / "stranger.pem")})
    jobs = house_with_a_stranger(settings.model_copy(update={"trust": trust}), EIGHT)
    try:
        assert jobs.findings().unknown == []
    finally:
        jobs.close()
