"""What `sealgate check` says of mail to people without a certificate. Truth: docs/fallbacks.md."""

import secrets
from pathlib import Path

import pytest

from gateway.cli.check.fallbacks import fallbacks
from gateway.settings import EncryptedPdf, Invite, Settings, load
from tests.support.process import new_bank

RULES = """
version: 1
rules:
  - name: invitations
    when: {direction: outbound, client: staff, from: staff@bank.example}
    then: {sign: {with: staff}}
    cases: [{given: {client: staff, from: staff@bank.example}, expect: {end: deliver}}]
  - name: letters
    when: {direction: outbound, client: core-banking}
    then: {sign: {with: statements}, encrypt: {without_certificate: WAY}}
    cases:
      - given: {client: core-banking, from: statements@bank.example, certificate: absent}
        expect: {rule: letters}
otherwise: reject
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(new_bank(tmp_path / "home").config)


def told(settings: Settings, tmp_path: Path, way: str, rules: str = RULES, **given: object) -> list[tuple[str, str]]:
    path = tmp_path / "p.yaml"
    path.write_text(rules.replace("WAY", way))
    hold = settings.hold.model_copy(update={key: given.pop(key) for key in ("archive_key", "archive_certificate")
                                            if key in given})
    settings = settings.model_copy(update={
        "policies": (path,), "hold": hold, "fallbacks": settings.fallbacks.model_copy(update=given)})
    return [(one.level, one.text) for one in fallbacks(settings)]


def test_who_refuses_needs_nothing(settings: Settings, tmp_path: Path) -> None:
    assert told(settings, tmp_path, "reject") == []


def test_holding(settings: Settings, tmp_path: Path) -> None:
    assert told(settings, tmp_path, "hold") == [
        ("ok", "mail is held for certificates for 30 days, and sent automatically")]
    ((level, text),) = told(settings, tmp_path, "hold", archive_key=None)
    assert level == "warning"
    assert "sealgate fallbacks again" in text
    ((level, text),) = told(settings, tmp_path, "hold", archive_certificate=None)
    assert level == "error"
    assert "hold.archive_certificate" in text


@pytest.mark.parametrize(("sender", "client", "level", "word"), [
    ("staff@bank.example", "staff", "ok", "are sent signed, by rule p:invitations"),
    ("statements@bank.example", "core-banking", "error", "rule p:letters decides invite"),
    ("other@bank.example", "staff", "error", "rule p:otherwise decides reject"),
])
def test_inviting(settings: Settings, tmp_path: Path, sender: str, client: str, level: str, word: str) -> None:
    invite = Invite(**{"from": sender, "client": client, "way": "Ask at any branch."})
    (_, found) = told(settings, tmp_path, "invite", invite=invite)
    assert found[0] == level
    assert word in found[1]


def test_unsigned_invitations(settings: Settings, tmp_path: Path) -> None:
    invite = Invite(**{"from": "staff@bank.example", "client": "staff", "way": "Ask at any branch."})
    found = told(settings, tmp_path, "invite", RULES.replace("then: {sign: {with: staff}}", "end: deliver"),
                 invite=invite)
    assert found[1][0] == "warning"
    assert "unsigned" in found[1][1]


def test_templates_of_the_banks_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "held_notice.en.txt").write_text("Subject: x\n\n{{ no_such_word }}\n")
    found = told(settings, tmp_path, "hold", templates=tmp_path / "letters")
    assert found[0][0] == "error"
    assert "held_notice.en.txt" in found[0][1]


def test_a_page_and_its_hook(settings: Settings, tmp_path: Path) -> None:
    secret, hook = tmp_path / "pdf.secret", tmp_path / "hook"
    secret.write_text(secrets.token_hex(32))
    secret.chmod(0o600)
    section = EncryptedPdf(secret_file=secret, hook_program=hook)
    missing, drawn = told(settings, tmp_path, "encrypted_pdf", encrypted_pdf=section)
    assert (missing[0], drawn[0]) == ("error", "ok")
    assert str(hook) in missing[1]
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o700)
    ((level, text),) = told(settings, tmp_path, "encrypted_pdf", encrypted_pdf=section)
    assert level == "ok"
    assert text.startswith("a test PDF was encrypted in ")
    secret.write_text("short")
    ((level, text),) = told(settings, tmp_path, "encrypted_pdf", encrypted_pdf=section)
    assert level == "error"
    assert "32 random characters" in text
