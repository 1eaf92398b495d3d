"""What comes back, with a real Postfix that writes it: codes out by command, bounces in over the gateway's listener, a
customer's answer through Postfix's own front door.

Starts: one Postfix with the lines of docs/bounces.md, one `sealgate run`, two sinks. Truth: Postfix's own reports (RFC
3464), and what the gateway's database and `sealgate trace` say of them.
"""

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from gateway.settings import load
from tests.support.command_server import prefix
from tests.support.postfix import private_postfix
from tests.support.process import Relay, free_ports, new_bank, relay, submit
from tests.support.returned import Reply, bounce
from tests.support.smtp import Hop, until

ROOT = Path(__file__).parents[2]
ANNA, MAILBOX, SECURITY = "anna@customer.example", "codes@bank.example", "security@bank.example"
# Postfix tries again at once, says that it is late after a second, and gives up after some.
HASTE = """
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = 1s
maximal_queue_lifetime = 6s
bounce_queue_lifetime = 1h
"""


def page_lines() -> str:
    """What docs/bounces.md tells to put into main.cf."""
    page = (ROOT / "docs/bounces.md").read_text("utf-8")
    return dedent(re.search(r"```\n(   # main\.cf\n.*?)```", page, re.DOTALL)[1])


def main_cf(gateway: int, mailboxes: int, internet: int) -> str:
    return f"""
myhostname = mx.bank.example
mydestination =
relay_domains = bank.example
relay_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, permit_auth_destination, reject
relay_recipient_maps = inline:{{ support@bank.example=ok, security@bank.example=ok, codes@bank.example=ok,
    bounces@bank.example=ok }}
mynetworks = 127.0.0.0/8
""" + page_lines().replace(":10027", f":{gateway}") + HASTE


def change(text: str) -> str:
    """The demo's bank has the mailboxes and rules of the page already."""
    return text.replace("role: inbound,", "role: inbound, recipient_check: next_hop,")


@dataclass
class Site:
    """The whole."""

    relay: Relay
    postfix: int
    maillog: Path
    mailboxes: Hop
    internet: Hop

    def run(self, *words: str) -> str:
        """A command; it must end well."""
        done = CliRunner().invoke(application([words[0]]), ["--config", str(self.relay.bank.config), *words])
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def issue(self, purpose: str) -> Reply:
        """A code of Anna's leaves for Postfix."""
        sent = self.run("otp", "send", "10001", "--client", "online-banking", "--purpose", purpose, "--json")
        code = json.loads(sent)
        return Reply(load(self.relay.bank.config), f"{code['id']}-1")

    def bounced(self, about: Reply) -> str:
        """The status that stands with a code, once there is one."""
        until(lambda: self.status(about) is not None, 30)
        return self.status(about) or ""

    def status(self, about: Reply) -> str | None:
        with closing(sqlite3.connect(self.relay.bank.home / "sealgate.db")) as database:
            (found,) = database.execute(
                "SELECT bounced_status FROM code_mail WHERE code_id = ?", (about.about.partition("-")[0],)).fetchone()
        return found

    def lines(self, event: str) -> list[dict[str, object]]:
        """The gateway's log lines of this kind."""
        lines = [json.loads(line) for line in self.relay.told.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def answer(self, octets: bytes, to: str = MAILBOX, sender: str = ANNA) -> str:
        """A stranger's mail, at Postfix's front door."""
        code, text = submit(self.postfix, octets, [to], sender=sender)
        assert code == 250, text
        return re.search(r"queued as (\w+)", text)[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("bounces")
    (port,) = free_ports(1)
    bank = new_bank(root / "bank", hop=port, change=change)
    with Hop() as mailboxes, Hop() as internet:
        conf = main_cf(bank.ports.inbound, mailboxes.port, internet.port)
        with private_postfix(root / "postfix", conf, port=port), relay(bank, forked=True) as running:
            yield Site(running, port, root / "postfix" / "maillog", mailboxes, internet)


@pytest.fixture
def site(whole: Site) -> Site:
    for hop in (whole.mailboxes, whole.internet):
        hop.mails.clear()
        hop.replies.clear()
    if "10001" in whole.run("otp", "list"):
        whole.run("otp", "unblock", "10001")
    return whole


def test_a_mailbox_that_is_not_there(site: Site) -> None:
    site.internet.replies["RCPT"] = "550 5.1.1 <anna@customer.example> is nobody here"
    about = site.issue("gone")
    assert site.bounced(about) == "5.1.1"
    told = site.run("trace", str(site.lines("bounce.counted")[-1]["incident"]))
    assert "served" in told
    assert f"handed to codes: bounce 5.1.1 of {about.about}" in told
    assert "rule bounces:codes: nothing, then hand_to" in told
    assert site.mailboxes.mails == []  # and no person got it


def test_a_server_that_is_late_and_then_given_up(site: Site) -> None:
    site.internet.replies["RCPT"] = "450 4.2.2 mailbox full, try later"
    about = site.issue("late")
    until(lambda: [one for one in site.lines("bounce.counted") if one["id"] == about.about and one["permanent"]], 60)
    told = [(one["status"], one["permanent"]) for one in site.lines("bounce.counted") if one["id"] == about.about]
    assert told == [("4.2.2", False), ("4.2.2", True)]


def test_a_customer_who_was_not_the_one(site: Site) -> None:
    about = site.issue("login")
    until(lambda: len(site.internet.mails) == 1, 30)
    mail = site.internet.mails[0]
    assert f"Message-ID: {about.message_id}".encode() in mail
    assert b"Reply-To: codes@bank.example" in mail
    site.answer(about.signed(site.relay.bank.people["anna"]))
    until(lambda: site.mailboxes.mails != [], 30)
    assert "10001" in site.run("otp", "list")
    (alarm,) = site.mailboxes.mails
    assert b"To: security@bank.example" in alarm
    with pytest.raises(AssertionError, match=r"customer\.blocked"):
        site.issue("login")


def test_an_answer_without_proof_comes_back_to_its_writer(site: Site) -> None:
    """Postfix tells him with a report of its own, which the null path keeps from us and from a loop."""
    about = site.issue("login")
    queue_id = site.answer(about.plain())
    until(lambda: re.search(rf"{queue_id}: to=<codes@bank.example>.*status=bounced", site.maillog.read_text()), 30)
    until(lambda: any(b"Undelivered Mail" in one for one in site.internet.mails), 30)
    until(lambda: any(b"without proof" in one or b"=?utf-8" in one.lower() for one in site.mailboxes.mails), 30)
    (alarm,) = [one for one in site.mailboxes.mails if b"without proof" in one or b"=?utf-8" in one.lower()]
    assert b"security@bank.example" in alarm
    assert site.status(about) is None


def test_check_finds_the_mailboxes_routed(site: Site) -> None:
    etc = site.maillog.parent / "etc"
    done = CliRunner().invoke(application(["check"]), ["--config", str(site.relay.bank.config), "check", "--postfix",
                                                       "--postfix-dir", str(etc), "--json"])
    places = {one["about"] for one in json.loads(done.stdout)}
    assert places
    assert places.isdisjoint({"main.cf transport_maps", "main.cf recipient_delimiter"})


def test_statements_that_nobody_took(site: Site) -> None:
    """Each mail of a run has a return path; the run's report names those that came back."""
    site.internet.replies["RCPT"] = "550 5.1.1 nobody here"
    run = "examples/statements/november.yaml"
    command = [*prefix(), "--config", str(site.relay.bank.config), "statements", "send", run]
    sent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert sent.returncode in {0, 1}, sent.stderr  # Clara has no certificate: hers is held

    def came_back() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(site.relay.bank.home / "sealgate.db")) as database:
            return database.execute("SELECT delivery, answer FROM statement_item WHERE state = 'sent'").fetchall()

    until(lambda: {one for one, _ in came_back()} == {"bounced"}, 30)
    assert len(came_back()) == 3
    assert all(answer.startswith("5.1.1") and "nobody here" in answer for _, answer in came_back())


@pytest.mark.parametrize("sender", ["", "mailer-daemon@evil.example"])
def test_a_forged_bounce_at_the_front_door(site: Site, sender: str) -> None:
    """The attacker knows that there is a code, and how return paths look; its MAC he does not know."""
    about = site.issue("login")
    forged = about.return_path.replace(re.search(r"\.(\w{16})@", about.return_path)[1], "a" * 16)
    for to in (forged, MAILBOX):
        queue_id = site.answer(bounce(), to, sender)
        until(lambda queue_id=queue_id: f"{queue_id}: removed" in site.maillog.read_text(), 30)
    assert site.status(about) is None


def test_an_absence_notice_is_answered_by_nobody(site: Site) -> None:
    """RFC 3834: responders answer the return path with the null path."""
    about = site.issue("login")
    until(lambda: len(site.internet.mails) == 1, 30)
    queue_id = site.answer(about.plain(more=b"Auto-Submitted: auto-replied\r\n"), about.return_path, "")
    until(lambda: f"{queue_id}: removed" in site.maillog.read_text(), 30)
    assert site.status(about) is None
    assert site.mailboxes.mails == []
    assert len(site.internet.mails) == 1
