"""The real relay with a partner's real LDAP directory and a real, validating resolver, which die, lie and come back.

The rule of the demo that lets mail go unencrypted where there is no certificate is the one under test: it must be taken
only where the absence is certain. Truth: what the mail server behind received, octet by octet.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cms.certificate import load_certificates
from gateway.demo.bank import Bank
from gateway.model.smimea import owner_name, record
from tests.support.dnssec import names
from tests.support.process import Relay, new_bank, relay, without_web
from tests.support.slapd import BASE, slapd
from tests.support.smtp import Hop

SECRET = b"the merger is on"
STAFF = "127.0.0.3"  # the client of the demo's people


@pytest.fixture
def hop() -> Iterator[Hop]:
    with Hop() as running:
        yield running


def bank_with(tmp_path: Path, hop: Hop, source: str) -> Bank:
    """The demo's bank with this source in place of its own."""
    def change(text: str) -> str:
        before, rest = without_web(text).split("sources:\n", 1)
        return f"{before}sources:\n  - {{{source}}}\nfetch:{rest.split(chr(10) + 'fetch:', 1)[1]}"

    return new_bank(tmp_path / "home", hop=hop.port, change=change)


def der_of(bank: Bank, name: str) -> bytes:
    return load_certificates((bank.home / "partners" / f"{name}.crt.pem").read_bytes())[0].der


def send(running: Relay, to: str, number: int) -> int:
    """The reply's code for a new mail of a person at the bank."""
    mail = (b"From: staff@bank.example\r\nTo: %s\r\nSubject: hello\r\nMessage-ID: <%d@bank.example>\r\n"
            b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\n%s\r\n" % (to.encode(), number, SECRET))
    code, _ = running.submit(mail, [to], sender="staff@bank.example", peer=STAFF)
    return code


def last(hop: Hop) -> str:
    """How the last mail left."""
    octets = hop.mails[-1]
    if b"enveloped-data" in octets or b"authEnveloped-data" in octets:
        return "clear inside" if SECRET in octets else "encrypted"
    return "clear" if SECRET in octets else "unreadable"


def test_mail_waits_while_the_directory_is_dead_and_goes_when_it_is_back(tmp_path: Path, hop: Hop) -> None:
    with slapd(tmp_path / "slapd") as server:
        bank = bank_with(tmp_path, hop, (
            f"name: partner, kind: ldap, domains: [partner.example], url: 'ldap://127.0.0.1:{server.port}', "
            f"base: '{BASE}', deadline_s: 2, positive_s: 0, negative_s: 0, stale_s: 0, failures_max: 2, pause_s: 0.2"))
        server.add([{"mail": ["dora@partner.example"], "userCertificate;binary": [der_of(bank, "dora")]}])
        with relay(bank, forked=True) as running:
            assert (send(running, "dora@partner.example", 1), last(hop)) == (250, "encrypted")
            assert (send(running, "nobody@partner.example", 2), last(hop)) == (250, "clear")  # by the bank's own rule
            server.stop()
            left = len(hop.mails)
            assert [send(running, to, number) for number, to in enumerate((
                "dora@partner.example", "nobody@partner.example", "dora@partner.example"), start=3)] == [451] * 3
            assert len(hop.mails) == left
            assert send(running, "zoe@elsewhere.example", 6) == 250  # whom it does not serve has not to wait for it
            server.start()
            time.sleep(0.3)  # for pause_s it is left alone
            assert (send(running, "dora@partner.example", 7), last(hop)) == (250, "encrypted")


def test_forged_dns_makes_mail_wait_and_a_proven_absence_does_not(tmp_path: Path, hop: Hop) -> None:
    bank = bank_with(tmp_path, hop, "name: dns, kind: smimea, port: 1")
    der = der_of(bank, "dora")
    lines = [f"{owner_name('erik@bank.test')} IN SMIMEA {record(der)}"]
    with names(tmp_path / "names", {"bank.test": lines}) as world:
        text = bank.config.read_text("utf-8").replace("kind: smimea, port: 1", f"kind: smimea, port: {world.port}")
        bank.config.write_text(text, "utf-8")
        with relay(bank, forked=True) as running:
            assert (send(running, "nobody@bank.test", 1), last(hop)) == (250, "clear")
            assert (send(running, "anna@plain.test", 2), last(hop)) == (250, "clear")
            left = len(hop.mails)
            assert [send(running, f"anna@{zone}", 3) for zone in ("expired.test", "forged.test", "stripped.test")] == [
                451] * 3
            assert send(running, "erik@bank.test", 4) == 550  # somebody else's certificate: refused by name
            assert len(hop.mails) == left
