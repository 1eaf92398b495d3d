"""A time-stamping service over HTTP that hangs, dies or lies, behind the real relay's front end (speed goal 4).

Mails that need it are told 451 within its deadline; all others flow meanwhile. Truth: the codes that a client of SMTP
sees, what the next hop got, and `openssl ts -reply` as the service that works. Counts are asserted, not times, but for
generous upper bounds.
"""

import shutil
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gateway.clock import SystemClock
from gateway.frontends.smtp.server import SmtpFrontend
from gateway.model.verdict import TimestampVerdict
from gateway.settings import HttpStamperSettings, Settings
from gateway.smime.open import open_mail
from tests.support.bank import Context, context
from tests.support.pki import get_pki
from tests.support.process import template
from tests.support.tsa_server import Served, openssl_tsa, tsa_server

CODES, STATEMENTS = "127.0.0.1", "127.0.0.2"  # the demo's clients
SENDER = {CODES: "otp@bank.example", STATEMENTS: "statements@bank.example"}
ANNA = "anna@customer.example"
WORKERS = 16

POLICY = """
version: 1
rules:
  - name: codes
    when: {{client: online-banking, from: otp@bank.example}}
    then:
      sign: {{with: otp}}
      stamp: {{by: {by}, if_unavailable: {otherwise}}}
    cases: [{{given: {{client: online-banking, from: otp@bank.example}}, expect: {{end: deliver}}}}]
  - name: statements
    when: {{client: core-banking, from: statements@bank.example}}
    then:
      sign: {{with: statements}}
      stamp: {{by: internal}}
    cases: [{{given: {{client: core-banking, from: statements@bank.example}}, expect: {{end: deliver}}}}]
otherwise: reject
"""


@dataclass
class Bank:
    """The gateway behind its SMTP listeners."""

    context: Context
    port: int

    def submit(self, peer: str) -> int:
        """One mail of the client with this address: the code that decides it."""
        sender = SENDER[peer]
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60, source_address=(peer, 0)) as smtp:
            smtp.ehlo("client.bank.example")
            smtp.mail(sender)
            smtp.rcpt(ANNA)
            head = f"From: {sender}\r\nTo: {ANNA}\r\nSubject: x\r\nMessage-ID: <{time.monotonic_ns()}@bank.example>\r\n"
            return smtp.data(f"{head}\r\nHello.\r\n".encode())[0]

    def stamped_by(self) -> list[str | None]:
        """What the evidence says of each mail, the oldest first."""
        records = self.context.gateway.store.evidence.since(SystemClock().now() - timedelta(hours=1))
        return [record.facts.get("stamped_by") for record in records]

    def stamp(self, number: int) -> TimestampVerdict:
        """The time-stamp of the mail that left as the number-th."""
        octets = self.context.outbound.taken[number][1]
        now = SystemClock().now()
        (signer,) = open_mail(octets, [], self.context.gateway.context.judge, now).verdicts.signature.signers
        return signer.timestamp


@contextmanager
def bank(home: Path, served: Served, *, by: str, otherwise: str = "defer", **stamper: float) -> Iterator[Bank]:
    shutil.copytree(template(), home)
    policy, root = home / "policies" / "slow.yaml", home / "pki" / "tsa-root.pem"
    policy.write_text(POLICY.format(by=by, otherwise=otherwise), "utf-8")
    root.write_bytes(get_pki().tsa_root_pem)

    def change(settings: Settings) -> Settings:
        slow = HttpStamperSettings.model_validate(
            {"name": "theirs", "kind": "http", "url": served.url, "networks": ["127.0.0.0/8"], **stamper})
        return settings.model_copy(update={
            "policies": (policy,), "stampers": (*settings.stampers, slow), "sources": (),
            "fetch": settings.fetch.model_copy(update={"enabled": False}),
            "listeners": tuple(one.model_copy(update={"port": 0}) for one in settings.listeners),
            "trust": settings.trust.model_copy(update={"stampers_qualified": (root,)}),
            "limits": settings.limits.model_copy(update={"workers_max": WORKERS})})

    changed: list[Settings] = []
    with context(home, lambda settings: changed.append(change(settings)) or changed[0]) as built:
        front = SmtpFrontend(changed[0], built.gateway.handle)
        with front.running() as addresses:
            yield Bank(built, addresses["outbound"][1])


def at_once(count: int, work: Callable[[], int]) -> tuple[list[threading.Thread], list[int]]:
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, codes


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_other_mails_flow_while_the_service_hangs(tmp_path: Path) -> None:
    """More mails need it than there are workers; 4 wait, the others are told at once, statements do not notice."""
    hanging = Served()
    with (tsa_server(hanging.hang, hanging),
          bank(tmp_path / "bank", hanging, by="theirs", deadline_s=50.0, in_flight_max=4) as running):
        waiting, _ = at_once(4, lambda: running.submit(CODES))
        end = time.monotonic() + 30
        while len(hanging.asked) < 4:
            assert time.monotonic() < end
            time.sleep(0.02)
        refused, refusals = at_once(WORKERS + 8, lambda: running.submit(CODES))
        others, codes = at_once(30, lambda: running.submit(STATEMENTS))
        join(others)
        join(refused)
        assert codes == [250] * 30
        assert refusals == [451] * (WORKERS + 8)
        assert all(thread.is_alive() for thread in waiting), "the service still hangs, and all others are done"
        assert len(running.context.outbound.taken) == 30
        hanging.release.set()
        join(waiting)


def test_who_needs_it_is_told_within_the_deadline_and_later_at_once(tmp_path: Path) -> None:
    hanging = Served()
    with (tsa_server(hanging.hang, hanging),
          bank(tmp_path / "bank", hanging, by="theirs", deadline_s=0.5) as running):
        began = time.monotonic()
        codes = [running.submit(CODES) for _ in range(10)]
        assert codes == [451] * 10
        assert time.monotonic() - began < 30, "three deadlines, not ten"
        assert len(hanging.asked) == 3
        assert running.submit(STATEMENTS) == 250
        assert len(running.context.outbound.taken) == 1
        hanging.release.set()


def test_the_next_service_stamps(tmp_path: Path) -> None:
    hanging = Served()
    with (tsa_server(hanging.hang, hanging),
          bank(tmp_path / "bank", hanging, by="[theirs, internal]", deadline_s=0.5) as running):
        assert [running.submit(CODES) for _ in range(5)] == [250] * 5
        assert {running.stamp(number).trust for number in range(5)} == {"internal"}
        assert running.stamped_by() == ["internal"] * 5
        hanging.release.set()


def test_without_a_stamp_where_the_rule_lets_it(tmp_path: Path) -> None:
    with (tsa_server(lambda _: b"", Served(status=503)) as dead,
          bank(tmp_path / "bank", dead, by="[theirs]", otherwise="send_unstamped") as running):
        assert running.submit(CODES) == 250
        assert running.stamp(0).status == "none"
        assert running.stamped_by() == [None]


def test_a_service_of_openssl_stamps_a_qualified_stamp(tmp_path: Path) -> None:
    with (tsa_server(openssl_tsa(get_pki().stamper())) as good,
          bank(tmp_path / "bank", good, by="[theirs, internal]", deadline_s=20.0) as running):
        assert running.submit(CODES) == 250
        verdict = running.stamp(0)
        assert running.stamped_by() == ["theirs"]
    assert (verdict.status, verdict.trust) == ("valid", "qualified")
    assert len(good.asked) == 1


def test_a_service_that_nobody_believes_stamps_nothing(tmp_path: Path) -> None:
    """Its tokens are of a root that is not among ours: the mail is deferred, not sent with a worthless stamp."""
    with (tsa_server(openssl_tsa(get_pki("Somebody Else").stamper())) as stranger,
          bank(tmp_path / "bank", stranger, by="theirs", deadline_s=20.0) as running):
        assert running.submit(CODES) == 451
        assert running.context.outbound.taken == []


def test_a_reload_ends_its_connections_and_stamps_with_the_new_one(tmp_path: Path) -> None:
    with (tsa_server(openssl_tsa(get_pki().stamper())) as good,
          bank(tmp_path / "bank", good, by="theirs", deadline_s=20.0) as running):
        gateway = running.context.gateway
        first = gateway.context.stampers["theirs"]
        assert running.submit(CODES) == 250
        gateway.reload(gateway._loaded.settings)
        assert gateway.context.stampers["theirs"] is not first
        assert gateway.context.stampers["theirs"].stamp(bytes(32), "sha256")
