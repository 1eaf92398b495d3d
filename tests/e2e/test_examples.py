"""The examples of the distribution as they stand: runs by command, over a next hop, read by openssl and poppler."""

import csv
import email
import email.policy
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.app.statements.documents import documents
from gateway.demo import openssl
from gateway.demo.bank import Bank
from gateway.errors import GatewayError
from gateway.settings import load
from tests.support.command_server import prefix
from tests.support.papers import STATEMENT, page_text
from tests.support.process import ROOT, new_bank
from tests.support.smtp import Hop

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Site:
    bank: Bank
    hop: Hop

    def run(self, *words: str, at: Path = ROOT) -> "subprocess.CompletedProcess[str]":
        command = [*prefix(), "--config", str(self.bank.config), *words]
        return subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=120, check=False)

    def letters(self, name: str, first: int = 0) -> list[EmailMessage]:
        """What a customer can open of the mails that left, from the one with the number `first` on."""
        found = []
        for mail in self.hop.mails[first:]:
            if f"{name}@customer.example".encode() in mail:
                opened = openssl.verify(openssl.decrypt(mail, self.bank.people[name]), self.bank.root)
                found.append(email.message_from_bytes(opened, policy=email.policy.default))
        return found


def paper(letter: EmailMessage) -> tuple[str, bytes]:
    """The document's file name and octets."""
    (part,) = [one for one in letter.walk() if one.get_content_type() == "application/pdf"]
    return str(part.get_filename()), part.get_payload(decode=True)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Hop() as hop:
        yield Site(new_bank(tmp_path_factory.mktemp("examples") / "bank", hop=hop.port), hop)


def test_statements_of_november(site: Site) -> None:
    done = site.run("statements", "send", "examples/statements/november.yaml")
    assert done.returncode in {0, 1}, done.stderr
    assert len(site.hop.mails) == 3
    anna, ben = site.letters("anna"), site.letters("ben")
    assert (len(anna), len(ben)) == (2, 1)
    texts = sorted((page_text(paper(letter)[1]) for letter in anna), key=lambda text: "Kontoauszug" in text)
    assert "Account statement 11/2026" in texts[0]
    assert "DE89 3704 0044 0532 0130 00" in texts[0]
    assert "+1,200.00" in texts[0]
    assert "Kontoauszug 11/2026" in texts[1]
    assert page_text(paper(ben[0])[1]) == texts[1], "both holders of the account read the same"
    assert paper(ben[0])[0] == "statement-2026-11.pdf"


def test_a_second_run_sends_nothing_again(site: Site) -> None:
    before = len(site.hop.mails)
    assert before == 3
    site.run("statements", "send", "examples/statements/november.yaml")
    assert len(site.hop.mails) == before


def test_bills_of_the_fourth_quarter(site: Site) -> None:
    before = len(site.hop.mails)
    done = site.run("statements", "send", "examples/statements/bills.yaml")
    assert done.returncode == 0, done.stderr
    (anna,), (ben,) = site.letters("anna", before), site.letters("ben", before)
    assert paper(anna)[0] == "bill-2026-Q4.pdf"
    assert "Bill R-2026-1177" in page_text(paper(anna)[1])
    assert "60.69" in page_text(paper(anna)[1])
    assert "Rechnung R-2026-1178" in page_text(paper(ben)[1])
    bodies = [part.get_content() for part in ben.walk() if part.get_content_type() == "text/plain"]
    assert "Ihre Rechnung R-2026-1178" in bodies[0]


def test_documents_of_the_examples_can_be_read_aloud(site: Site) -> None:
    for letter in (*site.letters("anna"), *site.letters("ben")):
        assert documents(load(site.bank.config)).check(paper(letter)[1]) is None


def test_no_account_stands_in_the_database_or_a_log(site: Site) -> None:
    with (EXAMPLES / "statements" / "november.csv").open(encoding="utf-8", newline="") as file:
        accounts = [row["account"] for row in csv.DictReader(file)]
    assert len(accounts) == 3
    for path in site.bank.home.rglob("*"):
        if path.is_file():
            octets = path.read_bytes()
            assert not [account for account in accounts if account.encode() in octets], path


def test_the_template_of_a_banks_own(site: Site) -> None:
    config = site.bank.config
    config.write_text(config.read_text("utf-8").replace(
        "statements: {from:", f"statements: {{templates: {EXAMPLES / 'templates'}, from:"))
    made = documents(load(config))
    values = {"bank": "Muster Bank", "name": "Anna Allen", "address": "Riverside 12; 60311 Frankfurt am Main",
              "year": "2026", "interest": "12.50", "withheld": "3.30", "account": "DE89370400440532013000"}
    try:
        assert "interest" in made.names()
        octets = made.make("interest", "en", values, datetime(2027, 1, 4, tzinfo=UTC))
        assert made.check(octets) is None
        assert "9.20" in page_text(octets)
        with pytest.raises(GatewayError, match="assertion failed"):
            made.make("interest", "en", {**values, "withheld": "99"}, datetime(2027, 1, 4, tzinfo=UTC))
    finally:
        made.close()


def test_every_line_of_the_examples_is_used(site: Site) -> None:
    """What lies there is what the tests above run; a file that nobody runs grows old unseen."""
    assert sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.is_file()) == [
        "statements/bills.jsonl", "statements/bills.yaml", "statements/november.csv", "statements/november.yaml",
        "templates/interest.typ"]
    for line in (EXAMPLES / "statements" / "bills.jsonl").read_text("utf-8").splitlines():
        assert json.loads(line)["customer"]


def test_the_page_shows_them_and_its_commands_run(site: Site, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "documents.md").read_text("utf-8")
    assert (EXAMPLES / "templates" / "interest.typ").read_text("utf-8") in page
    (tmp_path / "values.json").write_text(json.dumps(STATEMENT), "utf-8")
    commands = [line.split() for line in page.splitlines() if line.startswith("sealgate documents")]
    assert len(commands) == 3
    for _, *words in commands:
        done = site.run(*words, at=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "Kontoauszug" in page_text((tmp_path / "statement.pdf").read_bytes())
