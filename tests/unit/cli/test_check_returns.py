"""`sealgate check` on what comes back: a mailbox that no rule hands to its service is bounces in somebody's inbox."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.check.returns import returns
from gateway.cli.main import application
from gateway.model.finding import Finding
from gateway.settings import Settings, load
from tests.support.process import template
from tests.support.returned import with_mailboxes


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = Path(shutil.copytree(template(), tmp_path / "home"))
    return load(home / "sealgate.yaml")


def found(settings: Settings) -> list[tuple[str, str]]:
    return [(one.level, one.about) for one in returns(settings)]


def one(settings: Settings, about: str) -> Finding:
    (finding,) = [finding for finding in returns(settings) if finding.about == about]
    return finding


def test_all_is_well_as_the_page_has_it(settings: Settings) -> None:
    """The policies of the distribution, the mailboxes of docs/bounces.md."""
    policies = settings.policies[0].parent
    names = ("codes", "statements", "staff", "bounces", "inbound")
    settings = with_mailboxes(policies / "unused.yaml")(settings).model_copy(
        update={"policies": tuple(policies / f"{name}.yaml" for name in names)})
    assert found(settings) == [("ok", "codes.bounces"), ("ok", "statements.bounces"), ("ok", "codes.alarm_to")]


def test_a_mailbox_without_a_rule(settings: Settings) -> None:
    settings = with_mailboxes(settings.policies[0].parent / "unused.yaml")(settings).model_copy(
        update={"policies": settings.policies})
    policies = tuple(path for path in settings.policies if path.name != "bounces.yaml")
    settings = settings.model_copy(update={"policies": policies})
    told = one(settings, "codes.bounces")
    assert told.level == "error"
    assert "codes+0-1.aaaaaaaaaaaaaaaa@bank.example does not" in told.text
    assert "(rule inbound:plain: deliver)" in told.text


def test_a_mailbox_elsewhere(settings: Settings, tmp_path: Path) -> None:
    settings = with_mailboxes(tmp_path / "p.yaml")(settings)
    assert settings.codes is not None
    codes = settings.codes.model_copy(update={"bounces": "codes@else.example"})
    settings = settings.model_copy(update={"codes": codes})
    assert one(settings, "codes.bounces").level == "error"


def test_an_alarm_that_the_rules_refuse(settings: Settings, tmp_path: Path) -> None:
    settings = with_mailboxes(tmp_path / "p.yaml")(settings)
    assert settings.codes is not None
    settings = settings.model_copy(update={"codes": settings.codes.model_copy(update={"alarm_to": "x@bank.example"})})
    told = one(settings, "codes.alarm_to")
    assert told.level == "error"
    assert "would not be sent (rule p:otherwise: reject)" in told.text


def test_an_alarm_that_no_key_may_sign(settings: Settings) -> None:
    """After an upgrade: the key set lists online-banking alone, as it did when alarms were sent in its name."""
    keys = tuple(key.model_copy(update={"clients": ("online-banking",)}) if key.name == "otp" else key
                 for key in settings.keys)
    told = one(settings.model_copy(update={"keys": keys}), "codes.alarm_to")
    assert told.level == "error"
    assert "add `sealgate` to `clients` of otp" in told.text


def test_no_mailbox_is_a_warning(settings: Settings) -> None:
    assert settings.codes is not None
    settings = settings.model_copy(update={
        "codes": settings.codes.model_copy(update={"bounces": ""}), "statements": None,
        "policies": tuple(path for path in settings.policies if path.name != "bounces.yaml")})
    assert found(settings) == [("warning", "codes")]


def test_the_command_says_it(settings: Settings, tmp_path: Path) -> None:
    config = str(tmp_path / "home/sealgate.yaml")
    done = CliRunner().invoke(application(["check"]), ["--config", config, "check", "--json"])
    assert "codes" in {told["about"].partition(".")[0] for told in json.loads(done.stdout)}, done.stdout
