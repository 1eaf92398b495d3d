"""A run whose mails go through a real Postfix, and the report that knows from its log what became of each.

Truth: the mailboxes into which that Postfix has delivered, and what it says of those it has not.
"""

import csv
import io
import json
import os
import pwd
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.command_server import prefix
from tests.support.postfix import private_postfix
from tests.support.process import ROOT, new_bank
from tests.support.smtp import Hop, until
from tests.support.statements import address, crowd, document, plain_rows, run_files

MAILS, GONE, LATER = 12, 3, 5


@pytest.fixture
def mailboxes(tmp_path) -> Path:
    """Where Postfix delivers, as its own user."""
    folder = tmp_path / "mailboxes"
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, pwd.getpwnam("postfix").pw_name)
    return folder


def answered(line: bytes) -> str | None:
    """What the server of two customers says: one is unknown, one's mail is taken another day."""
    if address(GONE).encode() in line:
        return "550 5.1.1 no such user"
    return "451 4.7.1 come back" if address(LATER).encode() in line else None


def main_cf(mailboxes: Path, server: int) -> str:
    """Two customers are another server's, the others have a mailbox."""
    user = pwd.getpwnam("postfix")
    return f"""
myhostname = mx.bank.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = crowd.example
virtual_mailbox_base = {mailboxes}
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
transport_maps = inline:{{ {", ".join(f"{{ {address(one)} = smtp:[127.0.0.1]:{server} }}" for one in (GONE, LATER))} }}
"""


def sealgate(config: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*prefix(), "--config", config, "statements", *arguments], cwd=ROOT,
                          capture_output=True, text=True, timeout=120, check=False)


def test_the_report_says_what_the_recipients_servers_have_said(tmp_path: Path, mailboxes: Path) -> None:
    root = tmp_path / "postfix"
    root.mkdir()
    with Hop(RCPT=answered) as server, private_postfix(root, main_cf(mailboxes, server.port)) as port:
        log = root / "maillog"
        bank = new_bank(tmp_path / "bank", hop=port, change=lambda text: text.replace(
            "statements: {", f"statements: {{postfix_log: {log}, processes: 1, "))
        crowd(bank, MAILS)
        files = run_files(bank.home, plain_rows(MAILS))
        for number in range(10):
            (files.documents / f"{number}.pdf").write_bytes(document())
        sent = sealgate(bank.config, "send", files.file, "--json")
        assert sent.returncode == 0, sent.stderr
        run = json.loads(sent.stdout)["id"]
        assert json.loads(sealgate(bank.config, "report", run, "--json").stdout)["fates"]["sent"] == MAILS
        told = Counter[str]()

        def all_told() -> bool:
            done = sealgate(bank.config, "delivered", "--json")
            assert done.returncode == 0, done.stderr
            told.update(json.loads(done.stdout))
            return told["ours"] >= MAILS

        until(all_told, 60)
        report = json.loads(sealgate(bank.config, "report", run, "--json").stdout)
        assert {name: count for name, count in report["fates"].items() if count} == {
            "delivered": MAILS - 2, "bounced": 1, "deferred": 1}
        assert [(one["channel"], one["mails"]) for one in report["channels"]] == [("sealed", MAILS)]
        assert len(list(mailboxes.glob("all/new/*"))) == MAILS - 2
        assert {(one["row"], one["fate"]) for one in report["cases"]} == {
            (GONE + 1, "bounced"), (LATER + 1, "deferred")}
        assert any("no such user" in one["detail"] for one in report["cases"])
        lines = list(csv.DictReader(io.StringIO(sealgate(bank.config, "report", run, "--csv").stdout, newline="")))
        assert [line["fate"] for line in lines].count("delivered") == MAILS - 2
        assert lines[GONE]["fate"] == "bounced"
        again = json.loads(sealgate(bank.config, "delivered", "--json").stdout)
        assert again["lost"] is False


def test_without_a_log_the_command_says_which_setting_it_wants(tmp_path: Path) -> None:
    done = sealgate(new_bank(tmp_path / "bank").config, "delivered")
    assert done.returncode == 2
    assert "statements.postfix_log" in done.stderr
