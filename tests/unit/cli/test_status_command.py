"""`sealgate status`: the state on one screen. Truth: what was stored, and what runs."""

import json
from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner

from gateway import app as composition
from gateway.adapters.db.mail_list import DbMailList
from gateway.cli.main import application
from gateway.cli.operation.status import _duration, _octets
from gateway.clock import SystemClock
from gateway.demo.bank import Ports
from gateway.errors import GatewayError, Reason
from gateway.settings import load
from tests.ports.test_evidence import RECORD
from tests.ports.test_mail_list import replace
from tests.support.process import demo_bank, free_ports

app = application([])


@pytest.fixture
def bank(tmp_path, monkeypatch):
    made = demo_bank(tmp_path / "bank", Ports(*free_ports(3)))
    monkeypatch.setenv("SEALGATE_CONFIG", str(made.config))
    return made


def run(*words):
    return CliRunner().invoke(app, ["status", *words])


def test_nothing_runs(bank) -> None:
    store = composition.open_store(load(bank.config))
    try:
        now = SystemClock().now()
        store.evidence.add((replace(RECORD, at=now), replace(RECORD, at=now - timedelta(hours=2))))
    finally:
        store.close()
    result = run()
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "Services listeners failed no greeting: outbound, inbound" in lines
    assert "Mail last hour: taken 1" in lines
    assert "last day: taken 2" in lines
    assert "Held hold: none" in lines
    assert "Backup none was made: `sealgate backup`" in lines
    assert any(line.startswith(f"Disk {bank.home}: ") and line.endswith(" free") for line in lines)


def test_the_last_backup_is_shown(bank) -> None:
    assert CliRunner().invoke(app, ["backup", str(bank.home / "backup.tar")]).exit_code == 0
    assert "the last one 20" in run().stdout
    made_at = datetime.fromisoformat(json.loads(run("--json").stdout)["last_backup"])
    assert SystemClock().now() - made_at < timedelta(minutes=1)


def test_without_a_database_the_rest_is_shown(bank) -> None:
    load(bank.config).database.unlink()
    result = run()
    assert result.exit_code == 1
    assert "last hour: not known, because the database does not answer" in result.stdout
    assert "Disk" in result.stdout
    assert json.loads(run("--json").stdout)["numbers"] is None


def test_a_database_that_stops_while_it_is_asked(bank, monkeypatch) -> None:
    def stops(*_: object) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "it went away", retry=True)

    monkeypatch.setattr(DbMailList, "outcomes", stops)
    result = run()
    assert result.exit_code == 1
    assert "last hour: not known, because the database does not answer" in result.stdout


def test_a_certificate_that_expired(bank, monkeypatch) -> None:
    later = SystemClock().now() + timedelta(days=4000)
    monkeypatch.setattr(SystemClock, "now", lambda _: later)
    assert " expired " in run().stdout


def test_sizes_and_times_as_people_read_them() -> None:
    assert [_octets(one) for one in (0, 999, 1000, 12_345, 10**13)] == [
        "0 octets", "999 octets", "1.0 KB", "12 KB", "10 TB"]
    assert [_duration(one) for one in (0, 90, 7200, 200_000)] == ["0 minutes", "2 minutes", "2 hours", "2 days"]
