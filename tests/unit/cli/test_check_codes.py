"""`sealgate check` on codes: what would keep them from leaving is told before a customer waits for one."""

import shutil
from pathlib import Path

import pytest

from gateway.cli.check.codes import codes
from gateway.cli.check.command import looked
from gateway.model.finding import Finding
from gateway.settings import Settings, load
from tests.support.bank import policy
from tests.support.process import template

RULE = """
version: 1
rules:
  - name: codes
    when: {direction: outbound, client: online-banking, from: otp@bank.example}
    then: {THEN}
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: device_bound}
        expect: {end: deliver}
otherwise: reject
"""
SIGN = "sign: {with: otp}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = Path(shutil.copytree(template(), tmp_path / "home"))
    return load(home / "sealgate.yaml")


def ruled(settings: Settings, then: str) -> Settings:
    path = settings.policies[0].parent / "own.yaml"
    return policy(path, RULE.replace("{THEN}", f"{{{then}}}"))(settings)


def found(settings: Settings) -> list[Finding]:
    return list(looked(codes, settings))


def levels(settings: Settings) -> list[str]:
    return [one.level for one in found(settings)]


def test_all_is_well_with_the_demos_bank(settings: Settings) -> None:
    assert levels(settings) == ["ok", "ok"]
    assert "by rule codes:otp" in found(settings)[1].text


def test_without_the_section_there_is_nothing_to_tell(settings: Settings) -> None:
    assert found(settings.model_copy(update={"codes": None})) == []


def test_keys_bound_to_one_device_are_as_good(settings: Settings) -> None:
    encrypt = "encrypt: {certificates: enrolled, device_bound: true, without_certificate: reject}"
    assert levels(ruled(settings, f"{SIGN}, {encrypt}")) == ["ok", "ok"]


def test_a_rule_that_does_not_seal(settings: Settings) -> None:
    told = found(ruled(settings, SIGN))
    assert [one.level for one in told] == ["ok", "error", "warning"]
    assert "own:codes does not sign and encrypt" in told[1].text


def test_a_rule_that_holds_for_want_of_a_certificate(settings: Settings) -> None:
    told = found(ruled(settings, f"{SIGN}, encrypt: {{certificates: enrolled, without_certificate: hold}}"))
    assert [one.level for one in told] == ["ok", "ok", "warning"]
    assert "decides hold, but codes are always rejected then" in told[2].text


def test_nobody_who_may_order_some(settings: Settings) -> None:
    clients = tuple(one.model_copy(update={"scopes": ()}) for one in settings.clients)
    assert levels(settings.model_copy(update={"clients": clients})) == ["ok", "warning"]


def test_one_who_may_order_some_and_not_use_their_address(settings: Settings) -> None:
    clients = tuple(one.model_copy(update={"from_addresses": ("x@bank.example",)}) for one in settings.clients)
    told = found(settings.model_copy(update={"clients": clients}))
    assert (told[1].level, "may order codes but not use otp@bank.example" in told[1].text) == ("error", True)


def test_while_it_observes(settings: Settings) -> None:
    assert levels(settings.model_copy(update={"mode": "observe"})) == ["ok", "warning", "ok"]


def test_a_secret_that_is_none(settings: Settings) -> None:
    assert settings.codes is not None
    settings.codes.secret_file.write_text("short\n")
    (told,) = found(settings)
    assert told.level == "error"
    assert "32 random characters" in told.text


def test_a_template_that_leaves_something_out(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "code.en.txt").write_text("Subject: Code\n{{ code }}\n")
    assert settings.codes is not None
    section = settings.codes.model_copy(update={"templates": tmp_path})
    (told,) = found(settings.model_copy(update={"codes": section}))
    assert (told.level, "amount of a payment is missing" in told.text) == ("error", True)
