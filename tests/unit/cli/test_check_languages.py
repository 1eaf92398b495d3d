"""`sealgate check` on languages: every missing text of a configured language is named."""

import shutil
from pathlib import Path

import pytest

from gateway import languages as texts
from gateway.cli.check import languages as check_languages
from gateway.cli.check.command import looked
from gateway.errors import GatewayError
from gateway.settings import Settings, load
from gateway.settings.sections.bank import Contact
from tests.support.process import template


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = Path(shutil.copytree(template(), tmp_path / "home"))
    return load(home / "sealgate.yaml")


def found(settings: Settings) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in check_languages.languages(settings)]


def test_all_is_well_with_the_demos_bank(settings: Settings) -> None:
    (level, text), = found(settings)
    assert level == "ok"
    assert text.startswith("all texts are there in en; installed: de, en")


def test_a_language_of_the_bank_alone_needs_all_its_mails(settings: Settings, tmp_path: Path) -> None:
    assert settings.codes is not None
    (tmp_path / "code.it.txt").write_text("Subject: x\nx\n")
    codes = settings.codes.model_copy(update={"language": "it", "templates": tmp_path})
    (level, text), = found(settings.model_copy(update={"codes": codes}))
    assert level == "error"
    assert text == ("it/code_alarm.txt is missing, and codes are written in this language: "
                    f"add it to {tmp_path}, or use one of {', '.join(texts.installed())}")


def test_a_text_that_the_installation_lacks_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_languages, "missing", lambda language: [f"{language}/code.txt"])
    bank = settings.bank.model_copy(update={"language": "de"})
    assert found(settings.model_copy(update={"bank": bank})) == [
        ("error", "de/code.txt is missing. Restore the installation, or use another language")]


def test_a_language_of_the_bank_that_is_not_installed_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "home" / "sealgate.yaml"
    file.write_text(file.read_text().replace("bank:\n", "bank:\n  language: it\n"))
    with pytest.raises(GatewayError, match="there are no texts in the language `it`"):
        load(file)


def branding(settings: Settings, **changes: object) -> tuple[str, str]:
    bank = settings.bank.model_copy(update=changes)
    (one,) = looked(check_languages.branding, settings.model_copy(update={"bank": bank}))
    return one.level, one.text


def test_a_bank_without_a_contact_is_asked_for_one(settings: Settings) -> None:
    level, text = branding(settings, contact=Contact())
    assert level == "ok"
    assert "set `bank.contact`" in text
    assert "contact: +49" in branding(settings, contact=Contact(telephone="+49 69 1234"))[1]


def test_a_logo_that_cannot_be_sent_is_an_error(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"GIF89a")
    level, text = branding(settings, logo=tmp_path / "logo.png")
    assert level == "error"
    assert "the logo is not a PNG file. Export it as PNG" in text


@pytest.mark.parametrize("section", ["codes", "statements"])
def test_a_services_language_without_texts_stops_the_start(settings: Settings, tmp_path: Path, section: str) -> None:
    file = tmp_path / "home" / "sealgate.yaml"
    text = file.read_text()
    file.write_text(text.replace(f"{section}: {{", f"{section}: {{language: it, "))
    assert file.read_text() != text
    with pytest.raises(GatewayError, match="there are no texts in the language `it`"):
        load(file)
    file.write_text(text.replace(f"{section}: {{", f"{section}: {{language: it, templates: own, "))
    assert load(file)
