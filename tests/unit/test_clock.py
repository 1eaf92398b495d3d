"""A clock that cannot be right is no clock. Truth: dates with which machines start whose battery is empty."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import clock
from gateway.clock import EARLIEST, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from tests.support.bank import context
from tests.support.process import template

CODE = (b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Code\r\nMessage-ID: <1@bank.example>\r\n\r\n"
        b"Your code is 481516\r\n")


class Machine(datetime):
    """Its clock, as a test sets it."""

    at = datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)

    @classmethod
    def now(cls, tz=None) -> datetime:
        return cls.at


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC),
                                datetime(2019, 6, 1, tzinfo=UTC)])
def test_the_date_of_a_firmware_is_no_time(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    monkeypatch.setattr(clock, "datetime", Machine)
    monkeypatch.setattr(Machine, "at", at)
    with pytest.raises(GatewayError) as caught:
        SystemClock().now()
    assert (caught.value.reason, caught.value.retry) == (Reason.CLOCK_WRONG, True)
    monkeypatch.setattr(Machine, "at", EARLIEST)
    assert SystemClock().now() == EARLIEST


def test_mail_is_deferred_until_the_clock_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every certificate would be not yet valid, and the mail rejected for good."""
    with context(Path(shutil.copytree(template(), tmp_path / "bank"))) as bank:
        mail = bank.send(CODE, "anna@customer.example")
        with monkeypatch.context() as wrong:
            wrong.setattr(clock, "datetime", Machine)
            with pytest.raises(GatewayError) as caught:
                bank.gateway.handle(mail)
        assert (caught.value.reason, caught.value.retry) == (Reason.CLOCK_WRONG, True)
        assert bank.outbound.taken == []
        assert bank.gateway.handle(mail).answer is Settled.TAKEN
