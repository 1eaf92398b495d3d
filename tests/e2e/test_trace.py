"""From a log line to the mail and back: `sealgate trace` over mails that went through the real relay.

Starts: one relay with its children, a next hop of the tests' own that queues as Postfix does. Truth: what the test
sent, what its next hop took and answered, the relay's own log.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import application
from gateway.cms.certificate import load_certificates
from tests.support.process import Relay, new_bank, relay, without_web
from tests.support.smtp import Hop

APP = application(["trace"])
ANNA, BEN, ZOE = "anna@customer.example", "ben@customer.example", "zoe@nowhere.example"
RECEIVED = "Received: from app.bank.example by mx.bank.example (Postfix) with ESMTP id {};\r\n\tTue, 24 Nov 2026\r\n"


@dataclass
class Scene:
    relay: Relay
    hop: Hop

    def trace(self, *arguments: object, text: str | None = None) -> Result:
        """In this process: starting one takes seconds where many tests run."""
        words = ["--config", str(self.relay.bank.config), "trace", *map(str, arguments)]
        return CliRunner().invoke(APP, words, input=text)

    def told(self, *arguments: object, text: str | None = None) -> str:
        done = self.trace(*arguments, text=text)
        assert done.exit_code == 0, done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: object) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.trace(*arguments, "--json").stdout.splitlines()]

    def line(self, message_id: str) -> dict[str, str]:
        """The relay's own line of this mail, found by the incident that the evidence has."""
        incident = self.json(f"<{message_id}>")[0]["incident"]
        (line,) = [one for one in map(json.loads, self.relay.told.splitlines())
                   if one["event"] == "mail" and one["incident"] == incident]
        return line


def code(id_: str, to: str, *, more: str = "") -> bytes:
    return (f"{more}From: otp@bank.example\r\nTo: {to}\r\nSubject: Your code Zebra-17\r\nMessage-ID: <{id_}>\r\n\r\n"
            "4711-Quitte\r\n").encode()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("trace") / "bank"
    later, names = {"left": 1}, iter(["4HopQ77xyz", *(f"4Hop{number:06}" for number in range(99))])

    def rcpt(line: bytes) -> str | None:
        if b"ben@" in line and later["left"]:
            later["left"] -= 1
            return "450 4.2.0 try again"
        return None

    with Hop(RCPT=rcpt, dot=lambda _: f"250 2.0.0 Ok: queued as {next(names)}") as hop:
        bank = new_bank(home, hop=hop.port, change=without_web)
        with relay(bank, forked=True) as running:
            scene = Scene(running, hop)
            front = RECEIVED.format("4Front99abc")
            assert running.submit(code("one@bank.example", ANNA, more=front), [ANNA])[0] == 250
            assert running.submit(code("no@bank.example", ZOE), [ZOE])[0] == 550
            both = code("both@bank.example", f"{ANNA}, {BEN}")
            assert running.submit(both, [ANNA, BEN])[0] == 451
            assert running.submit(both, [ANNA, BEN])[0] == 250
            yield scene


def test_by_message_id_with_rule_certificate_and_next_hop(scene: Scene) -> None:
    told = scene.told("<one@bank.example>")
    for word in (ANNA, "taken", "codes:otp", "protect_headers, sign, stamp, encrypt, then deliver",
                 "250 2.0.0 Ok: queued as 4HopQ77xyz", "previous hop 4Front99abc", "online-banking"):
        assert word in told, word
    (certificate,) = load_certificates(scene.relay.bank.people["anna"].certificate.read_bytes())
    assert f"encrypted to {hashlib.sha256(certificate.der).hexdigest()}" in told


@pytest.mark.parametrize("key", ["incident", "prefix", "reply", "behind", "front", "digest"])
def test_every_key_leads_to_the_same_mail(scene: Scene, key: str) -> None:
    line = scene.line("one@bank.example")
    record = scene.json("<one@bank.example>")[0]
    keys = {"incident": line["incident"], "prefix": line["incident"][:8], "reply": f"250 2.0.0 Ok: {line['incident']}",
            "behind": "4HopQ77xyz", "front": "4Front99abc", "digest": str(record["sealed_digest"])}
    assert any(one.get("incident") == line["incident"] for one in scene.json(keys[key]))


def test_a_refusal_is_told_in_words_with_its_remedy(scene: Scene) -> None:
    incident = scene.line("no@bank.example")["incident"]
    told = scene.told(f"550 5.7.5 The bank has no certificate of the recipient. Incident {incident}")
    assert "refused" in told
    assert re.search(r"certificate\.absent  \S.*\. \S", told), "reason, sentence, remedy"
    assert "next hop:" not in told


def test_two_attempts_are_one_timeline(scene: Scene) -> None:
    told = scene.told("<both@bank.example>")
    assert told.index("attempt 1") < told.index("attempt 2")
    assert "next_hop.later" in told
    assert told.count("Message-ID") <= 1
    by_incident = scene.told(scene.json("<both@bank.example>")[0]["incident"])
    assert by_incident == told, "an attempt leads to the others"


def test_the_lines_of_logs_that_speak_of_it(scene: Scene) -> None:
    """Ours and Postfix's, in one stream as journalctl gives them."""
    line = scene.line("one@bank.example")
    postfix = ("2026-11-24T08:00:00.000001+00:00 mx postfix/smtp[77]: 4Front99abc: to=<anna@customer.example>\n"
               "2026-11-24T08:00:00.000002+00:00 mx postfix/smtp[77]: 4Front99abcX: to=<somebody@else.example>\n"
               "2026-11-24T08:00:01+00:00 mx postfix/qmgr[7]: 4HopQ77xyz: removed\n")
    log = "".join(f"2026-11-24T08:00:00+00:00 mx sealgate[5]: {one}\n" for one in scene.relay.told.splitlines())
    told = scene.told("<one@bank.example>", "--log", "-", text=postfix + log)
    assert "log  mail" in told
    assert f"size {line['size']}" in told
    assert "4Front99abc: to=<anna@customer.example>" in told
    assert "4HopQ77xyz: removed" in told
    assert "somebody@else.example" not in told
    assert "zoe@" not in told
    lines = [one for one in scene.json("<one@bank.example>", "--log", scene.relay.log) if one["kind"] == "log"]
    assert [one["line"]["event"] for one in lines] == ["mail"]


def test_what_never_became_a_mail_is_found_in_the_log(scene: Scene) -> None:
    code_, reply = scene.relay.receive(code("x@x.example", "x@elsewhere.example"), ["x@elsewhere.example"])
    assert code_ == 550
    told = scene.told(reply.replace("\n", " "), "--log", scene.relay.log)
    assert "log  session.rejected" in told
    assert "recipient.not_ours" in told


def test_from_the_mail_to_the_log(scene: Scene, tmp_path: Path) -> None:
    """As it lies with its recipient: a hop has written its fields on top, a mail program has made LF of CR LF."""
    (left,) = [mail for mail in scene.hop.mails if b"one@bank.example" in mail]
    file = tmp_path / "sealed.eml"
    file.write_bytes((b"Return-Path: <otp@bank.example>\r\nReceived: from gw.bank.example by mx.customer.example\r\n"
                      b"\twith ESMTPS id 9ZZZZZZZ; Tue, 24 Nov 2026\r\n" + left).replace(b"\r\n", b"\n"))
    told = scene.told("--file", file)
    assert f"incident {scene.line('one@bank.example')['incident']}" in told
    assert "the mail is identical to the one sent to anna@customer.example" in told
    file.write_bytes(left.replace(b"\r\n\r\n", b"\r\n\r\nx", 1))
    assert "the mail differs from the one sent" in scene.told("--file", file)


def test_many_recipients_are_one_line_unless_all_are_asked_for(scene: Scene) -> None:
    many = [f"p{number}@customer.example" for number in range(9)]
    octets = code("many@bank.example", many[0])
    scene.relay.submit(octets.replace(b"otp@", b"staff@"), many, sender="staff@bank.example", peer="127.0.0.3")
    told = scene.told("<many@bank.example>")
    assert "p4@customer.example and 4 more" in told
    assert "p8@customer.example" not in told
    assert "p8@customer.example" in scene.told("<many@bank.example>", "--all")


def test_it_says_when_it_knows_nothing(scene: Scene) -> None:
    done = scene.trace("ffffffff")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no record of 'ffffffff'" in done.stderr
    assert scene.trace().exit_code == 2
    assert scene.trace("x", "--log", "/nowhere").exit_code == 2


def test_no_content_and_nothing_that_moves_a_cursor(scene: Scene) -> None:
    strange = code("odd\x1b[2J@bank.example", ANNA)
    scene.relay.submit(strange, [ANNA])
    for key in ("<one@bank.example>", "odd\x1b[2J@bank.example", "<no@bank.example>"):
        told = scene.trace(key, "--log", scene.relay.log).stdout
        assert "\x1b" not in told
        assert "Zebra" not in told
        assert "Quitte" not in told
