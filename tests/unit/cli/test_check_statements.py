"""`sealgate check` on statements: what would keep a run from going is told before anybody starts one."""

import shutil
from pathlib import Path

import pytest

from gateway.cli.check.command import looked
from gateway.cli.check.statements import statements
from gateway.model.finding import Finding
from gateway.pdf import renderer
from gateway.settings import EncryptedPdf, Settings, load
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
    assert "the bank's own templates: interest" in found(changed(settings, templates=tmp_path))[0].text


@pytest.mark.parametrize("name, text, level, words", [
    ("statement.en.txt", "Subject: x\n\n{{ name }", "error", "statement.en.txt:3: unexpected '}'"),
    ("statement.en.html", "<p>{% if name %}</p>", "error", "statement.en.html"),
    ("statement.en.txt", "Subject: {{ perod }}\n", "warning",
     "`perod` is unknown; use one of account, name, period, row, run, "),
    ("statement_recalled.de.html", "<p>{{ naem }}</p>", "warning", "recalled.de.html: the word `naem` is unknown"),
    ("interest.en.txt", "Subject: {{ yaer }}\n", "warning", "interest.en.txt: the word `yaer` is unknown"),
])
def test_a_mistake_in_the_words_of_the_mails(settings: Settings, tmp_path: Path, name: str, text: str, level: str,
                                             words: str) -> None:
    (tmp_path / name).write_text(text)
    assert any(one.level == level and words in one.text for one in found(changed(settings, templates=tmp_path)))


def test_good_words_and_those_of_others_are_left_alone(settings: Settings, tmp_path: Path) -> None:
    """A directory may hold templates of codes, too, and pieces that other templates include."""
    (tmp_path / "statement.en.txt").write_text(
        "Subject: {{ period }}\n{% for one in range(2) %}{{ loop.index }} {{ row.IBAN | float }}{% endfor %}")
    (tmp_path / "code.en.txt").write_text("Subject: x\n{{ code }}")
    (tmp_path / "letterhead.en.html").write_text("{{ colour }}")
    (tmp_path / "notes.txt").write_text("{{ code")
    assert {one.level for one in found(changed(settings, templates=tmp_path))} == {"ok"}


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
    assert "add it to `from`" in errors(changed(settings, from_="bills@bank.example"))[0]


@pytest.mark.parametrize("kind, then, level, words", [
    ("reject", '{reject: "not today"}', "error", "cannot be sent"),
    ("deliver", "deliver", "warning", "without signature or encryption"),
])
def test_what_the_rules_make_of_them(settings: Settings, tmp_path: Path, kind: str, then: str, level: str,
                                     words: str) -> None:
    ruled = policy(tmp_path / "own.yaml", RULE.replace("{THEN}", then).replace("{KIND}", kind))(settings)
    assert any(one.level == level and words in one.text for one in found(ruled))


@pytest.mark.parametrize("way, level", [("encrypted_pdf", "ok"), ("plain_knowingly", "warning")])
def test_who_has_a_certificate_gets_it_sealed_whatever_others_get(settings: Settings, tmp_path: Path, way: str,
                                                                  level: str) -> None:
    secret = tmp_path / "pdf.secret"
    secret.write_text("0" * 64)
    secret.chmod(0o600)
    pdf = EncryptedPdf(secret_file=secret, hook_program=Path("/bin/true"))
    settings = settings.model_copy(update={"fallbacks": settings.fallbacks.model_copy(update={"encrypted_pdf": pdf})})
    ruled = policy(tmp_path / "own.yaml", f"""
version: 1
rules:
  - name: statements
    when: {{direction: outbound, client: core-banking}}
    then: {{sign: {{with: statements}}, encrypt: {{without_certificate: {way}}}}}
    cases:
      - given: {{client: core-banking, from: statements@bank.example, certificate: found}}
        expect: {{end: deliver}}
otherwise: reject
""")(settings)
    told = found(ruled)
    assert any(one.level == "ok" and "core-banking are sent encrypted, by rule own:" in one.text for one in told)
    assert any(one.level == level and f"without a certificate: {way}" in one.text for one in told)


def test_runs_over_http_need_their_directory(settings: Settings, tmp_path: Path) -> None:
    (told, *_) = errors(changed(settings, sources=tmp_path / "nothing"))
    assert "No such file or directory; create it for runs over HTTP" in told
    (tmp_path / "file").touch()
    assert "Not a directory; create it for runs over HTTP" in errors(changed(settings, sources=tmp_path / "file"))[0]
