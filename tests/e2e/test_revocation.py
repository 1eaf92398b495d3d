"""A relay that must know of revocations, with a real authority on loopback that publishes, revokes and dies.

The relay, its jobs process and the commands are those that a bank runs. Truth: what the authority's own server was
asked, and the Authentication-Results that the mail server behind gets (RFC 8601).
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.demo.bank import Bank
from tests.support.command_server import prefix
from tests.support.pki import Person
from tests.support.process import ROOT, Relay, new_bank, relay, without_web
from tests.support.revocable import Revocable, now
from tests.support.sealed import message, signed
from tests.support.smtp import Hop
from tests.support.web import WebServer, wait_until

ANNA = "anna@partner.example"
TEXT = b"Content-Type: text/plain\r\n\r\nplease pay\r\n"


@pytest.fixture
def authority() -> Iterator[Revocable]:
    with WebServer() as server:
        yield Revocable(server)


@pytest.fixture
def hop() -> Iterator[Hop]:
    with Hop() as running:
        yield running


def bank_that(tmp_path: Path, authority: Revocable, hop: Hop, *, mode: str = "require", fetch: str = "",
              policy: str = "") -> Bank:
    """A bank that believes the authority. `fetch`: more of its settings; `policy`: instead of the demo's inbound."""
    def change(text: str) -> str:
        text = text.replace("signers: [pki/root.pem]",
                            f"signers: [pki/root.pem, pki/partner.pem]\n  revocation: {{signers: {mode}}}")
        return without_web(text).replace("networks: [127.0.0.0/8]}\ntrust", f"networks: [127.0.0.0/8]{fetch}}}\ntrust")

    bank = new_bank(tmp_path / "home", hop=hop.port, change=change)
    (bank.home / "pki" / "partner.pem").write_bytes(authority.root_pem)
    if policy:
        (bank.home / "policies" / "inbound.yaml").write_text(policy, "utf-8")
    return bank


def sent(running: Relay, hop: Hop, person: Person) -> str:
    """What the mail server behind is told of a new signed mail: the RFC 7281 word."""
    mail = message(signed(TEXT, person, at=now()), from_=person.email, to="support@bank.example",
                   extra=[b"X-Number: %d" % len(hop.mails)])
    code, text = running.receive(mail.replace(b"<m1@", b"<m%d@" % len(hop.mails)), ["support@bank.example"],
                                 sender=person.email)
    assert code == 250, text
    return told(hop.mails[-1])


def told(octets: bytes) -> str:
    found = re.search(rb"smime=(\w+)", octets)
    return found[1].decode() if found else ""


def sealgate(bank: Bank, *arguments: str, code: int = 0) -> str:
    done = subprocess.run([*prefix(), "--config", str(bank.config), *arguments], cwd=ROOT,
                          capture_output=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode()


@contextmanager
def with_jobs(bank: Bank, **constants: float) -> Iterator[Relay]:
    """The relay, from the moment on when its jobs are at work too. `constants`: of gateway.app.processes.jobs."""
    with relay(bank, forked=True, constants={
            f"gateway.app.processes.jobs.{name}": value for name, value in constants.items()}) as running:
        assert wait_until(lambda: '"event": "jobs.started"' in running.told), running.told
        yield running


def test_a_first_mail_waits_for_its_list_and_a_revoked_one_is_told(tmp_path: Path, authority: Revocable, hop: Hop
                                                                   ) -> None:
    anna = authority.person(ANNA)
    authority.publish()
    bank = bank_that(tmp_path, authority, hop, fetch=", wait_s: 10")
    with with_jobs(bank) as running:
        began = time.monotonic()
        assert sent(running, hop, anna) == "pass"
        assert time.monotonic() - began < 9  # it waits for the list, not for the whole of fetch.wait_s
        assert sorted(request.path for request in authority.server.requests if "http" not in request.path
                      and "127.0.0.1" in request.headers["host"]) == ["/mail.crl", "/root.crl"]

        # The second mail asks nobody.
        assert sent(running, hop, anna) == "pass"
        assert len(authority.server.requests) == 2

        # Revoked: as soon as the list is fetched anew, which people can force.
        authority.revoke(anna, "keyCompromise")
        authority.publish()
        assert sent(running, hop, anna) == "pass"
        sealgate(bank, "revocation", "refresh", authority.server.url("/mail.crl"))
        assert wait_until(lambda: sent(running, hop, anna) == "fail", 5)

        rows = {row["url"]: row for row in json.loads(sealgate(bank, "revocation", "list", "--json", code=75))}
        mine = rows[authority.server.url("/mail.crl")]
        assert (mine["authority"].split(",")[0], mine["number"], mine["entries"], mine["trouble"]) == (
            "CN=Partner Mail CA", 2, 1, "")


@pytest.mark.parametrize(("mode", "then"), [("require", "temperror"), ("soft", "pass")])
def test_the_authority_dies_and_its_list_gets_old(tmp_path: Path, authority: Revocable, hop: Hop, mode: str, then: str
                                                  ) -> None:
    anna, life = authority.person(ANNA), 8.0  # seconds: enough for a slow machine to take a mail
    bank = bank_that(tmp_path, authority, hop, mode=mode)
    with with_jobs(bank) as running:
        authority.publish(life=timedelta(seconds=life))
        ends = time.monotonic() + life
        assert sent(running, hop, anna) == "pass"
        authority.server.close()
        time.sleep(max(0.0, ends + 0.5 - time.monotonic()))
        assert sent(running, hop, anna) == then
        assert wait_until(lambda: any(
            "fetch.failed" in line and "/mail.crl" in line for line in running.told.splitlines()), 15)
    (row,) = [row for row in json.loads(sealgate(bank, "revocation", "list", "--json", code=75))
              if row["url"] == authority.server.url("/mail.crl")]
    assert row["trouble"].startswith("fetch.unavailable")
    assert sealgate(bank, "revocation", "refresh", authority.server.url("/mail.crl"), code=75) == ""


def test_ocsp_answers_where_there_is_no_list(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    anna = authority.person(ANNA, lists=(), ocsp=True)
    authority.publish()
    authority.respond(anna)
    with with_jobs(bank_that(tmp_path, authority, hop)) as running:
        assert sent(running, hop, anna) == "pass"
    assert {(request.method, request.path) for request in authority.server.requests} == {
        ("POST", "/ocsp"), ("GET", "/root.crl")}
    (posted,) = [request for request in authority.server.requests if request.method == "POST"]
    assert posted.headers["content-type"] == "application/ocsp-request"


def test_ocsp_answers_where_the_list_takes_too_long(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    anna = authority.person(ANNA, ocsp=True)
    authority.publish()
    authority.server.answers["/mail.crl"] = lambda request, line: line.trickle(b"HTTP/1.1 200 OK\r\n" * 50, 0.1)
    # One host is asked one thing at a time: the responder stands at another name of the same server.
    authority.respond(anna)
    bank = bank_that(tmp_path, authority, hop, fetch=", deadline_s: 1")
    with with_jobs(bank) as running:
        assert sent(running, hop, anna) == "pass"


def test_a_missing_issuer_is_fetched_and_kept(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    anna = authority.person(ANNA, chain=False)
    authority.publish()
    bank = bank_that(tmp_path, authority, hop)
    with with_jobs(bank) as running:
        assert sent(running, hop, anna) == "pass"
        assert "/mail.cer" in {request.path for request in authority.server.requests}
    kept = json.loads(sealgate(bank, "cert", "list", "--json"))
    assert [row["source"] for row in kept if row["sha256"] == authority.mail_certificate.sha256] == ["aia"]


def test_a_strangers_own_hierarchy_fills_nothing(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    with WebServer() as elsewhere:
        stranger = Revocable(elsewhere, "Stranger")
        eve = stranger.person("eve@stranger.example", chain=False)
        bank = bank_that(tmp_path, authority, hop)
        with with_jobs(bank) as running:
            assert sent(running, hop, eve) == "temperror"
            assert "/mail.cer" in {request.path for request in elsewhere.requests}
        kept = {row["sha256"] for row in json.loads(sealgate(bank, "cert", "list", "--json"))}
        assert stranger.mail_certificate.sha256 not in kept


HOLDING = """\
version: 1
rules:
  - name: undecided
    note: waits until it can be decided
    when: {direction: inbound, signature: indeterminate}
    end: hold
    cases:
      - given: {direction: inbound, from: anna@customer.example, signature: indeterminate}
        expect: {end: hold}
  - name: rest
    note: everything else
    when: {direction: inbound}
    then: {form: opened}
    cases:
      - given: {direction: inbound, from: anna@customer.example}
        expect: {then: form, end: deliver}
otherwise: reject
"""


def test_held_mail_is_judged_again_when_the_list_is_there(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    anna = authority.person(ANNA)
    authority.publish()
    good = authority.server.answers.pop("/mail.crl")
    bank = bank_that(tmp_path, authority, hop, fetch=", wait_s: 1, retry_s: 2", policy=HOLDING)
    with with_jobs(bank, HELD_S=2.0) as running:
        mail = message(signed(TEXT, anna, at=now()), from_=ANNA, to="support@bank.example")
        assert running.receive(mail, ["support@bank.example"], sender=ANNA)[0] == 250
        assert hop.mails == []
        assert len(json.loads(sealgate(bank, "hold", "list", "--json"))) == 1
        authority.server.answers["/mail.crl"] = good
        assert wait_until(lambda: hop.mails, 60), running.told
        assert told(hop.mails[0]) == "pass"
        assert wait_until(lambda: json.loads(sealgate(bank, "hold", "list", "--json")) == [], 10)
    assert len(hop.mails) == 1


def test_nothing_is_fetched_where_that_is_switched_off(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    anna = authority.person(ANNA)
    authority.publish()
    with with_jobs(bank_that(tmp_path, authority, hop, fetch=", enabled: false")) as running:
        began = time.monotonic()
        assert sent(running, hop, anna) == "temperror"
        assert time.monotonic() - began < 1.0
    assert authority.server.requests == []


def test_mail_flows_while_a_large_list_is_fetched(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    """100,000 entries; the bound is generous, for the fetching, the relay and the test share two cores."""
    anna = authority.person(ANNA)
    authority.publish()
    bank = bank_that(tmp_path, authority, hop)
    with with_jobs(bank) as running:
        assert sent(running, hop, anna) == "pass"
        authority.publish_many(100_000)
        url = authority.server.url("/mail.crl")
        command = [*prefix(), "--config", str(bank.config), "revocation", "refresh", url]
        took: list[float] = []
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as fetching:
            while fetching.poll() is None:
                began = time.monotonic()
                assert sent(running, hop, anna) == "pass"
                took.append(time.monotonic() - began)
        assert fetching.returncode == 0
        for _ in range(20):  # and while the relay reads it
            began = time.monotonic()
            assert sent(running, hop, anna) == "pass"
            took.append(time.monotonic() - began)
            time.sleep(0.1)
    assert len(took) > 25
    assert max(took) < 1.5, sorted(took)[-5:]
    (row,) = [row for row in json.loads(sealgate(bank, "revocation", "list", "--json", code=75)) if row["url"] == url]
    assert row["entries"] == 100_001


def child(running: Relay, name: str) -> int:
    lines = [json.loads(line) for line in running.told.splitlines() if '"process.started"' in line]
    return max((line["timestamp"], line["pid"]) for line in lines if line["child"] == name)[1]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_children_live_and_die_with_the_relay_and_harm_no_mail(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    anna = authority.person(ANNA)
    authority.publish()
    bank = bank_that(tmp_path, authority, hop)
    with with_jobs(bank) as running:
        first = child(running, "jobs")
        os.kill(first, signal.SIGKILL)
        assert sent(running, hop, anna) in {"pass", "temperror"}  # with whatever the jobs brought before
        assert wait_until(lambda: child(running, "jobs") != first)
        second = child(running, "jobs")
        assert wait_until(lambda: running.told.count('"event": "jobs.started"') == 2)
        assert not alive(first)
        running.reload("jobs.reloaded")
        assert child(running, "jobs") == second
    assert wait_until(lambda: not alive(second), 5)


def test_children_end_when_the_relay_is_killed(tmp_path: Path, authority: Revocable, hop: Hop) -> None:
    bank = bank_that(tmp_path, authority, hop)
    command = [sys.executable, "-m", "gateway", "--config", str(bank.config), "run"]
    log = bank.home / "gateway.log"
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, stderr=file) as process:
        running = Relay(bank, process, log)
        assert wait_until(lambda: '"event": "jobs.started"' in running.told, 30)
        pid = child(running, "jobs")
        process.kill()
    assert wait_until(lambda: not alive(pid), 10)
