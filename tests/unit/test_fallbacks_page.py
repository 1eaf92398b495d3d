"""docs/fallbacks.md: its rules load and their cases hold, its settings are settings, its hooks take what they get."""

import json
import os
import re
import secrets
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.actions.table import VERBS
from gateway.adapters.web.callback import signature
from gateway.adapters.web.password_hook import packed
from gateway.app.rules import verbs_known
from gateway.letters.write import Writer
from gateway.policy import cases
from gateway.policy.load import load as load_rules
from gateway.ports.services.passwords import Handover
from gateway.settings import Settings, read
from tests.support.process import template

ROOT = Path(__file__).parents[2]
PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("encrypted-pdf", "fallbacks"))
AT = datetime(2026, 11, 30, 13, 5, tzinfo=UTC)
HANDOVER = Handover("0123abcd", "ben@nowhere.example", None, "abcd2345abcd2345", "s@bank.example", "<1@x>", "de")


def block(kind: str, number: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]


@pytest.fixture(scope="module")
def settings() -> Settings:
    config = template() / "sealgate.yaml"
    return read(config.read_text("utf-8") + block("yaml", 1), config)


def test_its_settings_are_settings(settings: Settings) -> None:
    assert settings.fallbacks.invite is not None
    assert settings.fallbacks.encrypted_pdf is not None
    assert settings.fallbacks.invite.every_days == 30


def test_its_rules_load_and_hold(settings: Settings) -> None:
    rules = load_rules([("letters.yaml", block("yaml"))], VERBS, verbs_known(settings))
    ran = cases.run(rules)
    assert len(ran.results) == 5
    assert ran.failed == ()


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is missing")
def test_its_program_puts_one_order_into_the_spool(tmp_path: Path) -> None:
    hook, spool = tmp_path / "hand-over", tmp_path / "spool"
    spool.mkdir()
    hook.write_text(block("sh"))
    hook.chmod(0o700)
    for _ in range(2):  # a mail that comes again
        subprocess.run([str(hook)], input=packed(HANDOVER), check=True, timeout=60,
                       env={"SPOOL": str(spool), "PATH": os.environ["PATH"]})
    (order,) = spool.iterdir()
    assert order.name == "0123abcd.json"
    assert json.loads(order.read_bytes())["password"] == HANDOVER.password
    assert order.stat().st_mode & 0o077 == 0


def test_its_receiver_knows_ours_from_others() -> None:
    receiver: dict[str, Any] = {}
    exec(block("python"), receiver)
    is_ours, secret, body, now = receiver["is_ours"], secrets.token_hex(32).encode(), packed(HANDOVER), 1_795_000_000
    receiver["time"] = type("Clock", (), {"time": staticmethod(lambda: now + 10)})
    right = signature(secret, now, body)
    assert is_ours(right, body, secret)
    assert not is_ours(right, body + b" ", secret)
    assert not is_ours(right, body, b"another")
    assert not is_ours(signature(secret, now - 600, body), body, secret), "what was listened to comes again"


def test_its_table_tells_every_field_of_the_object() -> None:
    table = PAGE.partition("The hook gets one JSON object:")[2].partition("**As a program**")[0]
    told = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    assert told == set(json.loads(packed(HANDOVER)))


@pytest.mark.parametrize("language", ["en", "de", "fr"])
@pytest.mark.parametrize("kinds, names", re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (`.*`.*) \|$",
                                                    PAGE.partition("| template | names |")[2], re.MULTILINE))
def test_templates_use_no_names_but_those_that_the_page_tells(kinds: str, names: str, language: str) -> None:
    values = {name: AT if name in ("since", "until") else "x" for name in re.findall(r"`(\w+)`", names)}
    for kind in re.findall(r"`(\w+)`", kinds):
        letter = Writer().write(kind, language, values)
        assert letter.language == language
        assert letter.text


def test_the_page_tells_each_setting() -> None:
    from gateway.settings import EncryptedPdf, Fallbacks, Invite

    for section in (Fallbacks, Invite, EncryptedPdf):
        for name, field in section.model_fields.items():
            assert re.search(rf"\b{field.alias or name}\b", PAGE), name
