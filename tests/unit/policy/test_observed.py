"""What `mode: observe` has seen, in numbers: from the records of the gateway itself, and by the command."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.app import load_rules
from gateway.cli.context import CONFIG_VARIABLE
from gateway.cli.policy import command as policy
from gateway.demo.bank import Ports
from gateway.errors import Reason
from gateway.model.sentences import SENTENCES
from gateway.policy.recorded.replay import ObservedCount, observed_counts
from gateway.settings import Settings, load
from tests.support.bank import context
from tests.support.process import demo_bank, template
from tests.unit.policy.test_recorded import records

CODE = (b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\n"
        b"Message-ID: <seen@bank.example>\r\n\r\nYour code is 481516\r\n")
HELLO = (b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Hi\r\nMessage-ID: <h@c.example>\r\n\r\n"
         b"Hi\r\n")


def watching(settings: Settings) -> Settings:
    return settings.model_copy(update={"mode": "observe"})


@pytest.fixture(scope="module")
def observed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank whose gateway has observed five mails, and one of the live gateway before."""
    home = tmp_path_factory.mktemp("seen") / "bank"
    demo_bank(home, Ports())
    with context(home) as bank:
        bank.gateway.handle(bank.send(CODE, "anna@customer.example"))
    with context(home, watching) as bank:
        for to in ("anna@customer.example", "anna@customer.example", "ben@nowhere.example"):
            bank.gateway.handle(bank.send(CODE, to))
        bank.gateway.handle(bank.send(CODE, "anna@customer.example", client="staff"))
        bank.gateway.handle(bank.receive(HELLO, "support@bank.example"))
        found = observed_counts(bank.gateway.store.evidence.since(bank.gateway.clock.now().replace(year=2020)))
    assert found == (
        ObservedCount("inbound", "delivered", "", "inbound:plain", 1),
        ObservedCount("outbound", "sealed", "", "codes:otp", 2),
        ObservedCount("outbound", "refused", "certificate.absent", "codes:otp", 1),
        ObservedCount("outbound", "refused", "client.from_not_allowed", "", 1),
    )
    return home


def test_mail_of_the_live_gateway_is_not_counted() -> None:
    assert observed_counts(records(load_rules(load(template() / "sealgate.yaml")))) == ()


def test_replay_tells_it_as_a_table_and_as_json(observed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    policy.register(app)
    monkeypatch.setenv(CONFIG_VARIABLE, str(observed_home / "sealgate.yaml"))
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["policy", "replay", "--since", "1d"])
    assert result.exit_code == 0, result.output
    assert "would have been" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["outbound", "sealed", "2", "codes:otp"] in lines
    assert f"certificate.absent: {SENTENCES[Reason.CERTIFICATE_ABSENT].what}" in result.stdout
    (told,) = map(json.loads, CliRunner().invoke(
        app, ["policy", "replay", "--since", "1d", "--json"]).stdout.splitlines())
    assert asdict(ObservedCount("outbound", "sealed", "", "codes:otp", 2)) in told["observed"]


@pytest.mark.parametrize(("would", "steps", "direction", "fate"), [
    ("taken", ("sign",), "outbound", "signed"), ("taken", (), "outbound", "unsealed"), ("held", (), "inbound", "held"),
    ("served", (), "inbound", "served"),
    ("later", (), "outbound", "deferred"), ("taken", (), "internal", "delivered"),
])
def test_fates(would: str, steps: tuple[str, ...], direction: str, fate: str) -> None:
    first = next(records(load_rules(load(template() / "sealgate.yaml"))))
    one = replace(first, steps=steps, direction=direction, facts=first.facts | {
        "would": {"settled": would, "reasons": []}})
    assert [row.fate for row in observed_counts([one])] == [fate]
