"""`sealgate check` on statements: what would keep a run from going is told before anybody starts one."""

import shutil
from pathlib import Path

import pytest

from gateway.cli.check_finding import Finding, looked
from gateway.cli.check_statements import statements
from gateway.pdf import renderer
from gateway.settings import Settings, load
from tests.support.bank import policy
from tests.support.process import template

RULE = """
version: 1
rules:
  - name: statements
    when: {direction: outbound, client: core-banking}
    end: {THEN}
    cases:
      - given: {client: core-banking, from: statements@bank.example, certificate: enrolled}
        expect: {end: {KIND}}
otherwise: reject
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = Path(shutil.copytree(template(), tmp_path / "home"))
    return load(home / "sealgate.yaml")


def found(settings: Settings) -> list[Finding]:
    return list(looked(statements, settings))


def errors(settings: Settings) -> list[str]:
    return [one.text for one in found(settings) if one.level == "error"]


def changed(settings: Settings, **changes: object) -> Settings:
    assert settings.statements is not None
    return settings.model_copy(update={"statements": settings.statements.model_copy(update=changes)})


def test_all_is_well_with_the_demos_bank(settings: Settings) -> None:
    told = found(settings)
    assert [one.level for one in told] == ["ok", "ok", "ok"]
    assert "by rule statements:statement" in told[1].text
    assert "without a certificate: hold" in told[2].text


def test_without_the_section_there_is_nothing_to_tell(settings: Settings) -> None:
    assert found(settings.model_copy(update={"statements": None})) == []


def test_the_banks_own_templates_are_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "interest.typ").write_text("= x")
    assert "own: interest" in found(changed(settings, templates=tmp_path))[0].text


def test_where_nothing_can_be_made(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "typst_child.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(renderer, "_PROGRAM", broken)
    assert len(errors(settings)) == 1
    assert "pdf.not_made" in errors(settings)[0]


def test_a_secret_that_is_not_there(settings: Settings) -> None:
    settings.statements.secret_file.unlink()
    assert "key.unavailable" in errors(settings)[0]


def test_a_from_that_the_client_may_not_use(settings: Settings) -> None:
    assert "put it into `from`" in errors(changed(settings, from_="bills@bank.example"))[0]


@pytest.mark.parametrize("kind, then, level, words", [
    ("reject", '{reject: "not today"}', "error", "cannot leave"),
    ("deliver", "deliver", "warning", "without signature or encryption"),
])
def test_what_the_rules_make_of_them(settings: Settings, tmp_path: Path, kind: str, then: str, level: str,
                                     words: str) -> None:
    ruled = policy(tmp_path / "own.yaml", RULE.replace("{THEN}", then).replace("{KIND}", kind))(settings)
    assert any(one.level == level and words in one.text for one in found(ruled))


def test_runs_over_http_need_their_directory(settings: Settings, tmp_path: Path) -> None:
    assert "No such file or directory; runs over HTTP" in errors(changed(settings, sources=tmp_path / "nothing"))[0]
    (tmp_path / "file").touch()
    assert "Not a directory; runs over HTTP" in errors(changed(settings, sources=tmp_path / "file"))[0]
