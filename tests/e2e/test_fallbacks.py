"""Mail to people without a certificate, through the real processes: what waits leaves by itself, a PDF with its hook.

Judges: openssl for what left sealed, qpdf and poppler for the PDF. Truth: docs/fallbacks.md.
"""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.authority import ca
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.demo import openssl
from gateway.demo.bank import CLIENTS, Bank
from gateway.demo.openssl import Person
from gateway.ports.administration import NewCertificate
from gateway.settings import load
from gateway.setup.files import key_pem, pem
from tests.support.command_server import prefix
from tests.support.locked import opened, pdf_of
from tests.support.process import ROOT, new_bank, relay
from tests.support.smtp import Hop

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")

SOON_S = 120.0  # two rounds of the jobs, and processes that start on a busy machine
MAIL = (b"From: statements@bank.example\r\nTo: %s\r\nSubject: Your statement 4711\r\nMessage-ID: <%s@bank.example>\r\n"
        b"\r\nThe planted secret.\r\n")
ZOE = "zoe@nowhere.example"
LETTERS = """
version: 1
rules:
  - name: letters
    when: {direction: outbound, client: core-banking, from: statements@bank.example, subject: "letter*"}
    then: {protect_headers: {}, sign: {with: statements}, encrypt: {without_certificate: encrypted_pdf}}
    may_lower: true
    cases:
      - given: {client: core-banking, from: statements@bank.example, subject: letter, certificate: absent}
        expect: {then: [protect_headers, sign, encrypted_pdf]}
otherwise: next_file
"""


def sealgate(bank: Bank, *arguments: str) -> str:
    """A command, which must end well."""
    done = subprocess.run([*prefix(), "--config", str(bank.config), *arguments], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def enrolled(bank: Bank, address: str) -> Person:
    """A new customer with a certificate, as `sealgate cert import` writes it."""
    key = ca.generate_signing_key("rsa-2048")
    der = bank.authorities.person("Zoe", address, key, SystemClock().now())
    person = Person("zoe", address, bank.home / "zoe.crt.pem", bank.home / "zoe.key.pem")
    person.certificate.write_bytes(pem(der))
    person.key.write_bytes(key_pem(key))
    store = open_store(load(bank.config))
    try:
        number = store.customers.by_address("anna@customer.example")
        assert number is not None
        store.certificates.add([NewCertificate(parse_certificate(der), customer=number.number)])
    finally:
        store.close()
    return person


def test_a_statement_waits_and_leaves_by_itself(tmp_path: Path) -> None:
    """By the policies of the distribution, with nobody doing anything but enrolling the customer."""
    with Hop() as hop:
        bank = new_bank(tmp_path / "home", hop=hop.port)
        with relay(bank, forked=True) as running:
            code, _ = running.submit(MAIL % (ZOE.encode(), b"1"), [ZOE], sender="statements@bank.example",
                                     peer=CLIENTS["core-banking"])
            assert code == 250
            assert hop.mails == []
            assert "it is sent automatically when there is a certificate" in sealgate(bank, "trace", "1@bank.example")
            zoe = enrolled(bank, ZOE)
            until(lambda: bool(hop.mails))
            until(lambda: "hold.decided" in running.told)
        (mail,) = hop.mails
        assert b"planted" not in mail
        assert b"The planted secret." in openssl.verify(openssl.decrypt(mail, zoe), bank.root)
        assert json.loads(sealgate(bank, "hold", "list", "--json")) == []
        (row,) = json.loads(sealgate(bank, "fallbacks", "--json"))
        assert (row["rule"], row["way"], row["people"], row["mails"], row["converted"], row["conversion"]) == (
            "statements:statement", "hold", 1, 1, 1, 1.0)
        assert "statements:statement" in sealgate(bank, "fallbacks")
        told = sealgate(bank, "trace", "1@bank.example")
        assert "no certificate was found: it is held until there is one" in told
        assert "encrypted to" in told


def test_a_letter_leaves_as_pdf_once_its_password_is_handed_over(tmp_path: Path) -> None:
    hook, out = tmp_path / "hook", tmp_path / "handed-over"
    hook.write_text(f"#!/bin/sh\ncat >> {out}\n")
    hook.chmod(0o700)

    def change(text: str) -> str:
        return text.replace("policies: [", "policies: [policies/letters.yaml, ") + (
            f"fallbacks: {{encrypted_pdf: {{secret_file: keys/pdf.secret, hook_program: {hook}}}}}\n")

    with Hop() as hop:
        bank = new_bank(tmp_path / "home", hop=hop.port)
        secret = bank.home / "keys" / "pdf.secret"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        (bank.home / "policies" / "letters.yaml").write_text(LETTERS)
        bank.config.write_text(change(bank.config.read_text()))
        checked = json.loads(sealgate(bank, "policy", "test", "--json"))
        assert checked["failed"] == []
        letter = MAIL.replace(b"Your statement 4711", b"letter 4711") % (ZOE.encode(), b"2")
        with relay(bank, forked=True) as running:
            hook.chmod(0o600)
            code, text = running.submit(letter, [ZOE], sender="statements@bank.example", peer=CLIENTS["core-banking"])
            assert code == 451, text
            assert hop.mails == []
            hook.chmod(0o700)
            code, text = running.submit(letter, [ZOE], sender="statements@bank.example", peer=CLIENTS["core-banking"])
            assert code == 250, text
        (mail,) = hop.mails
        given = json.loads(out.read_bytes())
        assert given["recipient"] == ZOE
        inside = opened(pdf_of(mail), given["password"], tmp_path)
        assert b"The planted secret." in inside[""]
        assert b"letter 4711" in inside[""]
        assert "no certificate was found: it was sent as an encrypted PDF" in sealgate(bank, "trace", "2@bank.example")
        for word in (b"planted", b"4711", given["password"].encode()):
            assert word not in mail
        files = [path for path in bank.home.rglob("*") if path.is_file() and path.name != "gateway.log"]
        assert not [path for path in files if given["password"].encode() in path.read_bytes()]
        assert given["password"] not in running.told
