"""A directory that dies while mail goes out, and customers whose programs change: the real relay as a process.

Truth: openssl opens and verifies what left; what stands at the sink behind the relay is all that left.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.cms.certificate import load_certificates
from gateway.demo import openssl
from gateway.mime.entity import parse_entity
from tests.support.pki import Person
from tests.support.process import Relay, new_bank, relay, without_services
from tests.support.sealed import TEXT, multipart
from tests.support.smtp import Hop
from tests.support.teaching import GCM, capabilities, now, signature
from tests.support.web import WebServer, reply

DEADLINE_S = 1.0
SECRET = b"The terms are 481516."


def mail(from_: bytes, to: str) -> bytes:
    """One with a Message-ID of its own."""
    unique = secrets.token_hex(8).encode()
    return (b"From: %s\r\nTo: <%s>\r\nSubject: Terms\r\nMessage-ID: <%s@bank.example>\r\n\r\n%s\r\n"
            % (from_, to.encode(), unique, SECRET))


@dataclass
class Street:
    """The relay, what stands behind it, and the partner's directory."""

    relay: Relay
    hop: Hop
    directory: WebServer

    def knows(self, name: str) -> bytes:
        """The directory's answer with this partner's certificate."""
        return reply(self.relay.bank.partners[name].certificate.read_bytes())

    def write(self, to: str) -> tuple[int, str, float]:
        """A letter of the bank's people: the reply, and how long it took."""
        octets = mail(b"staff@bank.example", to)
        begun = time.monotonic()
        code, text = self.relay.submit(octets, [to], sender="staff@bank.example", peer="127.0.0.3")
        return code, text, time.monotonic() - begun

    def code(self) -> tuple[int, str]:
        """A code for a customer whose certificate is bound."""
        return self.relay.submit(mail(b"otp@bank.example", "anna@customer.example"), ["anna@customer.example"])

    def left(self) -> bytes:
        """The one mail that left since it was asked last."""
        (octets,) = self.hop.mails
        self.hop.mails.clear()
        return octets


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with WebServer() as directory, Hop() as hop:

        def change(text: str) -> str:
            text = without_services(text)
            begin, end = text.index("http: {"), text.index("fetch:")
            return text[:begin] + (
                f'sources:\n  - {{name: partner, kind: http, domains: [partner.example], '
                f'url: "{directory.url("/?mail={address}")}", networks: [127.0.0.0/8], deadline_s: {DEADLINE_S}, '
                f'positive_s: 1, negative_s: 0, stale_s: 3600, failures_max: 2, pause_s: 0.5}}\n') + text[end:]

        with relay(new_bank(tmp_path / "bank", hop=hop.port, change=change), forked=True) as running:
            yield Street(running, hop, directory)


def silent(request, line) -> None:
    """Takes the question and never answers."""
    del request
    line.trickle(b" " * 100, 0.5)


def test_a_directory_dies_and_mail_waits_and_goes_when_it_is_back(street: Street) -> None:
    dora = street.relay.bank.partners["dora"]
    # Dead: nothing leaves, in clear or otherwise, whether it says so or says nothing.
    street.directory.answers["/"] = reply(b"down", "503 Service Unavailable")
    code, text, _ = street.write(dora.address)
    assert (code, street.hop.mails) == (451, []), text
    street.directory.answers["/"] = silent
    code, _, took = street.write(dora.address)
    assert (code, street.hop.mails) == (451, [])
    assert took < DEADLINE_S + 1.5
    # After so many failures it is left alone, and the answer comes at once.
    code, _, took = street.write(dora.address)
    assert (code, street.hop.mails) == (451, [])
    assert took < DEADLINE_S / 2
    # What does not need it goes meanwhile, and does not ask it.
    asked = len(street.directory.requests)
    code, text = street.code()
    assert code == 250, text
    assert len(street.directory.requests) == asked
    assert SECRET in openssl.verify(
        openssl.decrypt(street.left(), street.relay.bank.people["anna"]), street.relay.bank.root)
    # Back.
    street.directory.answers["/"] = street.knows("dora")
    time.sleep(0.6)
    code, text, _ = street.write(dora.address)
    assert code == 250, text
    left = street.left()
    assert SECRET not in left
    assert SECRET in openssl.verify(openssl.decrypt(left, dora), street.relay.bank.root)
    # Dead again, beyond the life of what is kept, and reloaded meanwhile: it serves on.
    street.directory.answers["/"] = reply(b"down", "503 Service Unavailable")
    street.relay.reload('"event": "reload.done"')
    time.sleep(1.1)
    code, text, _ = street.write(dora.address)
    assert code == 250, text
    assert SECRET in openssl.verify(openssl.decrypt(street.left(), dora), street.relay.bank.root)
    assert "directory.stale_answer" in street.relay.told


def test_only_a_directory_that_answers_may_say_that_there_is_none(street: Street) -> None:
    erik = street.relay.bank.partners["erik"]
    street.directory.answers["/"] = reply(b"<html>Welcome to our new site</html>")
    assert street.write(erik.address)[0] == 451
    street.directory.answers["/"] = street.knows("dora")  # of somebody else
    assert street.write(erik.address)[0] // 100 == 5
    assert street.hop.mails == []
    street.directory.answers["/"] = reply(b"nobody", "404 Not Found")
    time.sleep(1.1)  # the life of the other answer
    code, text, _ = street.write(erik.address)
    assert code == 250, text
    assert SECRET in openssl.verify(street.left(), street.relay.bank.root)


def test_the_banks_own_domain_is_asked_of_nobody(street: Street) -> None:
    street.directory.answers["/"] = reply(b"down", "503 Service Unavailable")
    assert street.write("support@bank.example")[0] == 250
    assert street.directory.requests == []


def kind(left: bytes) -> str:
    """The S/MIME type of what left."""
    return parse_entity(left).content_type.params["smime-type"].lower()


def test_a_customers_mail_chooses_the_cipher_of_the_next_one(street: Street) -> None:
    """Announced AES-256-GCM: AuthEnvelopedData. A later mail without it, made by openssl: what everybody reads."""
    bank = street.relay.bank
    anna = bank.people["anna"]
    certificate = load_certificates(anna.certificate.read_bytes())[0]
    person = Person(
        "anna", certificate.der, load_pem_private_key(anna.key.read_bytes(), None),  # type: ignore[arg-type]
        tuple(one.der for one in load_certificates((bank.home / "pki" / "chain.pem").read_bytes())))
    assert street.code()[0] == 250
    assert kind(street.left()) == "enveloped-data", "nothing is known of her program"

    at = now() - timedelta(minutes=5)
    entity = multipart(TEXT, signature(TEXT, person, capabilities(GCM), at=at))
    header = b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Hello\r\nMessage-ID: <%s@c>\r\n"
    modern = header % b"modern" + b"MIME-Version: 1.0\r\n" + entity
    assert street.relay.receive(modern, ["support@bank.example"])[0] == 250
    assert b"Sealgate-Verdict: trusted" in street.left()
    assert street.code()[0] == 250
    left = street.left()
    assert kind(left) == "authenveloped-data"
    assert SECRET in openssl.verify(openssl.decrypt(left, anna), bank.root)

    older = header % b"older" + b"MIME-Version: 1.0\r\n" + multipart(
        TEXT, signature(TEXT, person, at=at - timedelta(minutes=1)))
    assert street.relay.receive(older, ["support@bank.example"])[0] == 250
    street.left()
    assert street.code()[0] == 250
    assert kind(street.left()) == "authenveloped-data", "an older mail, sent again, changes nothing"

    plain = header % b"plain" + openssl.sign(TEXT, anna)
    assert street.relay.receive(plain, ["support@bank.example"])[0] == 250
    street.left()
    assert street.code()[0] == 250
    left = street.left()
    assert kind(left) == "enveloped-data"
    assert SECRET in openssl.verify(openssl.decrypt(left, anna), bank.root)
