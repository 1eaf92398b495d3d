"""Planted secrets: nothing that a mail holds and no password or passphrase comes out where it must not.

Codes in subject and body, a customer's PDF, passwords right and wrong, a key's passphrase, the field by which a client
proves itself go through the real relay
at log level debug, on every way that a mail can take, good and bad, and with a fault inside that nobody expected.
Looked for as they are, in base64 at every alignment, in hex and in UTF-16: in the log, in every reply, in the evidence,
in every file of the gateway's directory.
"""

import base64
import smtplib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.app import open_store
from gateway.demo import openssl
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.support.command_server import prefix
from tests.support.peers import run
from tests.support.process import Relay, free_ports, new_bank, relay
from tests.support.smtp import Hop, Talk
from tests.support.tls import TlsFiles, make_tls

SUBJECT = "TAN-7391-8846-Zebra"
BODY = "Ihr Code lautet 5082-Quitte"
PDF = "Kontostand 48.151,62 EUR Mandarine"
QUESTION = "Mein Passwort ist Holunder-77"
PASSWORD = "Rittersporn-9-Klatschmohn"
WRONG = "Rittersporn-8-Klatschmohn"
PASSPHRASE = "Wermut-und-Beifuss-4"
ROUTE = "Dotterblume-12-Rohrammer"  # what the mail of core banking must bear
QUOTED = "Zaunkoenig-31-Birne"  # where no secret belongs, but what a careless message would quote
SECRETS = (SUBJECT, BODY, PDF, QUESTION, PASSWORD, WRONG, PASSPHRASE, ROUTE)

HEADER = "From: {from_}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{id}@bank.example>\r\n"


@dataclass
class Scene:
    """The relay, what stands behind it, and every reply that it gave."""

    relay: Relay
    hop: Hop
    submission: int
    tls: TlsFiles
    replies: list[str] = field(default_factory=list)

    def send(self, octets: bytes, *to: str, sender: str = "otp@bank.example", peer: str = "127.0.0.1") -> int:
        return self._kept(self.relay.submit(octets, to, sender=sender, peer=peer))

    def receive(self, octets: bytes, *to: str) -> int:
        return self._kept(self.relay.receive(octets, to))

    def _kept(self, reply: tuple[int, str]) -> int:
        self.replies.append(reply[1])
        return reply[0]


def code(id_: str, to: str = "anna@customer.example", *, more: str = "", from_: str = "otp@bank.example") -> bytes:
    header = HEADER.format(from_=from_, to=to, subject=SUBJECT, id=id_)
    pdf = base64.encodebytes(b"%PDF-1.7 " + PDF.encode()).decode().replace("\n", "\r\n")
    return (
        f"{header}{more}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{BODY}\r\n"
        f"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{pdf}--b--\r\n"
    ).encode()


def prepare(home: Path, hop: int) -> tuple[Bank, int, TlsFiles]:
    """A bank whose key for codes is under a passphrase, with a listener for logins and a rule that holds."""
    tls = make_tls(home.parent)
    (submission,) = free_ports(1)

    def change(text: str) -> str:
        text = text.replace(
            "listeners:\n",
            f"""log_level: debug
passwords: clients.passwd
listeners:
  - {{name: submission, role: outbound, host: 127.0.0.1, port: {submission}, tls: starttls, tls_required: true,
      certificate: {tls.server}, key: {tls.server_key}}}
""",
        )
        text = text.replace("name: online-banking,", "name: online-banking, logins: [portal],", 1)
        text = text.replace("key: keys/otp.key.pem,", "key: keys/otp.key.pem, passphrase_file: keys/otp.pass,", 1)
        text = text.replace("name: core-banking,", "name: core-banking, header: X-Route, header_file: keys/route,", 1)
        return text.replace("policies: [", "policies: [policies/held.yaml, ", 1)

    bank = new_bank(home, hop=hop, change=change)
    key = load_pem_private_key((home / "keys" / "otp.key.pem").read_bytes(), None)
    (home / "keys" / "otp.key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode()))
    )
    (home / "keys" / "otp.pass").write_text(PASSPHRASE + "\n")
    (home / "keys" / "otp.pass").chmod(0o600)
    (home / "keys" / "route").write_text(ROUTE + "\n")
    (home / "keys" / "route").chmod(0o600)
    (home / "policies" / "held.yaml").write_text("""
version: 1
rules:
  - name: held
    when: {direction: outbound, header: {X-Hold: please}}
    end: hold
    cases:
      - given: {header: {X-Hold: please}}
        expect: {end: hold}
otherwise: next_file
""")
    run(
        *prefix(),
        "--config",
        bank.config,
        "client",
        "add",
        "portal",
        octets=PASSWORD.encode() + b"\n",
    )
    return bank, submission, tls


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("secrets") / "bank"

    def rcpt(line: bytes) -> str | None:
        if b"odd@" in line:
            return "550 5.1.1 no such user"
        if b"mad@" in line:
            return "??? \x01\x02 nonsense"
        return "" if b"gone@" in line else None

    with Hop(RCPT=rcpt) as hop:
        bank, submission, tls = prepare(home, hop.port)
        with relay(bank, wait_for=(submission,), arguments=("-m", "tests.support.broken", str(bank.config))) as running:
            scene = Scene(running, hop, submission, tls)
            play(scene)
            yield scene


def play(scene: Scene) -> None:
    """Every way that a mail, a password and a passphrase can take."""
    bank = scene.relay.bank
    assert scene.send(code("good"), "anna@customer.example") == 250
    assert scene.send(code("two"), "anna@customer.example", "ben@customer.example") == 250
    assert scene.send(code("nocert"), "zoe@nowhere.example") == 550
    assert scene.send(code("from", from_="statements@bank.example"), "anna@customer.example") == 550
    assert scene.send(code("hold", more="X-Hold: please\r\n"), "anna@customer.example") == 250
    assert scene.send(code("break", more="X-Break: yes\r\n"), "anna@customer.example") == 451
    assert scene.send(code("break2", more="X-Break: yes\r\n"), "anna@customer.example", "ben@customer.example") == 451
    for to in ("odd@nowhere.example", "mad@nowhere.example", "gone@nowhere.example"):
        octets = code(to, from_="staff@bank.example")
        assert scene.send(octets, to, sender="staff@bank.example", peer="127.0.0.3") in (451, 550)
    proofs(scene)
    # Refused for what they are: a code in every place that could be quoted.
    for wrong in (
        code("lf").replace(b"\r\n--b\r\n", b"\n--b\r\n"),
        code("nul").replace(BODY.encode(), BODY.encode() + b"\0"),
        code("long").replace(BODY.encode(), BODY.encode() * 4000),
        f"{SUBJECT}\r\n{BODY}\r\n\r\n".encode(),
        code("x").replace(b"From: otp@bank.example", f"From: {BODY}".encode()),
        code("x").replace(b"From: otp@bank.example", f"From: {BODY} <otp@bank.example>, {SUBJECT}".encode()),
        code("x").replace(b"base64\r\n", f"{QUOTED}\r\nX: \xe4\r\n".encode()),
        code("x").replace(b"boundary=b", f'boundary="{QUOTED}'.encode()),
        code("x", more=f"In-Reply-To: <{QUOTED}{'x' * 1500}>\r\n"),
    ):
        scene.send(wrong, "anna@customer.example")
    # From a customer: opened, and not opened.
    entity = f"Content-Type: text/plain\r\n\r\n{QUESTION}\r\n".encode()
    header = ("Anna <anna@customer.example>", "support@bank.example", "Frage")
    question = openssl.encrypt(openssl.sign(entity, bank.people["anna"]), bank.support_certificate, header)
    assert scene.receive(question, "support@bank.example") == 250
    inside = f"Subject: {SUBJECT}\r\nFrom: anna@customer.example\r\n\r\n{QUESTION}\r\n"
    hidden = f'Content-Type: text/plain; hp="cipher"\r\n{inside}'
    signed = openssl.sign(hidden.encode(), bank.people["anna"])
    question = openssl.encrypt(signed, bank.support_certificate, header)
    assert scene.receive(question, "support@bank.example") == 250
    altered = openssl.sign(entity.replace(b"Mein", b"Dein"), bank.people["ben"]).replace(b"Dein", b"Mein")
    altered = openssl.encrypt(altered, bank.support_certificate, header)
    assert scene.receive(altered, "support@bank.example") == 250
    assert scene.receive(question.replace(b"MII", b"MIJ", 1), "support@bank.example") in (250, 550)
    logins(scene)


def proofs(scene: Scene) -> None:
    """A client's field, right and wrong, on the ways that a mail can take; and where it does not belong."""
    right, wrong, hold = f"X-Route: {ROUTE}\r\n", f"X-Route: {ROUTE}?\r\n", "X-Hold: please\r\n"
    folded = f"X-Route:\r\n {ROUTE}\r\nX-Route: {ROUTE}\r\n"
    for name, more, code_ in (("proof", right, 250), ("proof-folded", folded, 250), ("proof-held", right + hold, 250),
                              ("proof-wrong", wrong, 554), ("proof-none", "", 554),
                              ("proof-break", right + "X-Break: yes\r\n", 451)):
        octets = code(name, more=more, from_="statements@bank.example")
        reply = scene.send(octets, "anna@customer.example", sender="statements@bank.example", peer="127.0.0.2")
        assert reply == code_, (name, scene.replies[-1])
    assert scene.send(code("proof-elsewhere", more=right), "anna@customer.example") == 250
    assert scene.receive(f"From: eve@else.example\r\n{right}Subject: x\r\n\r\nhi\r\n".encode(),
                         "support@bank.example") == 250


def logins(scene: Scene) -> None:
    """Passwords right, wrong, malformed, in the open, and cut off in the middle."""
    for password in (PASSWORD, WRONG):
        for mechanism in ("plain", "login"):
            with smtplib.SMTP("127.0.0.1", scene.submission, timeout=30, source_address=("127.0.0.9", 0)) as smtp:
                smtp._host = "127.0.0.1"
                smtp.starttls(context=scene.tls.trusting())
                smtp.ehlo("portal")
                smtp.user, smtp.password = "portal", password
                if password == WRONG:
                    scene.replies.append(_refused(smtp, mechanism))
                    continue
                scene.replies.append(repr(smtp.auth(mechanism, getattr(smtp, f"auth_{mechanism}"))))
                smtp.sendmail("otp@bank.example", ["anna@customer.example"], code(f"login-{mechanism}"))
    plain = base64.b64encode(f"\0portal\0{PASSWORD}".encode())
    with Talk(("127.0.0.1", scene.submission)) as talk:
        scene.replies.append(talk.greet())
        scene.replies += [
            talk.say(b"AUTH PLAIN " + plain),
            talk.say(b"AUTH PLAIN"),
            talk.say(plain),
            talk.say(PASSWORD.encode()),
        ]
    with Talk(("127.0.0.1", scene.submission)) as talk:
        talk.greet()
        talk.start_tls(scene.tls.trusting())
        talk.say(b"EHLO x")
        scene.replies += [talk.say(b"AUTH PLAIN " + plain[:-2] + b"!"), talk.say(b"AUTH LOGIN"), talk.say(b"cG9ydGFs")]
        talk.send(base64.b64encode(WRONG.encode()))
        talk.sock.shutdown(socket.SHUT_RDWR)


def _refused(smtp: smtplib.SMTP, mechanism: str) -> str:
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        smtp.auth(mechanism, getattr(smtp, f"auth_{mechanism}"))
    return repr(caught.value.smtp_error)


def forms(secret: str) -> list[bytes]:
    """The ways in which a secret may lie in octets."""
    raw = secret.encode()
    coded = [base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 :][: len(raw)] for shift in range(3)]
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), secret.encode("utf-16-le"), *coded]


def test_the_search_finds_what_is_there() -> None:
    for secret in SECRETS:
        for hidden in (
            b"x" + secret.encode(),
            base64.b64encode(b"a" + secret.encode()),
            base64.b64encode(b"ab" + secret.encode()),
            base64.b64encode(secret.encode()),
            secret.encode("utf-16-le"),
            secret.encode().hex().encode(),
        ):
            assert found(hidden) == [secret]


def found(octets: bytes, *more: str) -> list[str]:
    return [secret for secret in (*SECRETS, *more) if any(form in octets for form in forms(secret))]


def test_the_mails_went_their_ways(scene: Scene) -> None:
    """Else the rest would prove nothing."""
    log = scene.relay.told
    for word in (
        '"internal.error"',
        '"code": 250',
        '"code": 550',
        '"code": 451',
        "policy.held",
        "client.auth_failed",
        "mail.bare_newline",
        "certificate.absent",
        "next_hop.refused",
        "from.ambiguous",
        "ValueError at ",
    ):
        assert word in log, word
    assert any(QUESTION.encode() in one for one in scene.hop.mails), "opened for the mail server"
    assert len(scene.hop.mails) >= 7


def test_no_log_line(scene: Scene) -> None:
    lines = [line for line in scene.relay.told.splitlines() if found(line.encode(), QUOTED)]
    assert lines == []


def test_no_traceback(scene: Scene) -> None:
    assert "Traceback" not in scene.relay.told
    assert all(line.startswith("{") for line in scene.relay.told.splitlines())


def test_no_reply(scene: Scene) -> None:
    assert len(scene.replies) > 20
    assert [reply for reply in scene.replies if found(reply.encode(), QUOTED)] == []


def test_nothing_leaves_in_clear(scene: Scene) -> None:
    for mail in scene.hop.mails:
        if b"opened" not in mail and b"Sealgate-Verdict" not in mail:
            assert found(mail) == []


def test_the_proof_of_a_client_goes_to_nobody(scene: Scene) -> None:
    """Whoever sees it could be that client: not even the bank's own mailboxes."""
    assert [mail for mail in scene.hop.mails if ROUTE in found(mail)] == []


def test_no_evidence(scene: Scene) -> None:
    store = open_store(load(scene.relay.bank.config))
    try:
        for name in ("good", "two", "nocert", "hold", "from", "proof", "proof-held"):
            records = store.evidence.find(f"<{name}@bank.example>")
            assert records, name
            assert found(repr(records).encode()) == []
        assert found(repr(store.hold.list()).encode()) == []
    finally:
        store.close()


def test_no_file(scene: Scene) -> None:
    """Every file of the gateway's directory, but those that the secrets are read from."""
    looked = 0
    for path in scene.relay.bank.home.rglob("*"):
        if path.is_file() and path.name not in ("otp.pass", "route"):
            looked += 1
            assert found(path.read_bytes()) == [], path
    assert looked > 20
    assert any(path.name == "sealgate.db" for path in scene.relay.bank.home.iterdir())
