"""Rollover of keys in a whole gateway: which generation signs when, and that old mail stays readable.

The certificates are issued by the demo's CA for the test's times; openssl encrypts and tells who signed.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.authority import ca
from gateway.authority.ca import Purpose
from gateway.clock import FrozenClock
from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.signed_reader import parse_signed
from gateway.demo import openssl
from gateway.demo.authorities import Authorities
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.settings import Generation, KeySet, Settings
from gateway.setup.files import key_pem, pem, write
from tests.support.bank import Context, context

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")

TOMORROW = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
JUST_BEFORE = TOMORROW - timedelta(seconds=1)


def made(home: Path, name: str, address: str, purpose: Purpose, begins: datetime) -> Generation:
    """A generation with a certificate that is valid from `begins`, for two years."""
    authorities = Authorities.load(home / "pki", 0)
    key = ca.generate_signing_key("rsa-2048")
    der = authorities.service(name, address, purpose, key, begins + timedelta(hours=1))
    paths = home / "keys" / f"{name}.key.pem", home / "keys" / f"{name}.crt.pem"
    write(paths[0], key_pem(key), mode=0o600)
    write(paths[1], pem(der))
    return Generation(key=paths[0], certificate=paths[1], chain=home / "pki" / "chain.pem")


def with_generations(name: str, *generations: Generation) -> Callable[[Settings], Settings]:
    def change(settings: Settings) -> Settings:
        keys = tuple(key.model_copy(update={"generations": generations}) if key.name == name else key
                     for key in settings.keys)
        return settings.model_copy(update={"keys": keys})

    return change


def certificate(path: Path) -> Certificate:
    return load_certificates(path.read_bytes())[0]


def mail(from_: str) -> bytes:
    return (f"From: {from_}\r\nTo: anna@customer.example\r\nSubject: Hello\r\nMessage-ID: <1@bank.example>\r\n\r\n"
            "481516\r\n").encode()


def sent(bank: Context, at: datetime, who: str, client: str) -> bytes:
    """The signed entity of a mail that leaves at this time, decrypted by openssl."""
    bank.gateway.use(replace(bank.gateway.context, clock=FrozenClock(at)))
    bank.outbound.taken.clear()
    outcome = bank.gateway.handle(bank.send(mail(who), "anna@customer.example", client=client, sender=who))
    assert outcome.answer is Settled.TAKEN, outcome.reason
    return openssl.decrypt(bank.outbound.octets_for("anna@customer.example"), bank.bank.people["anna"])


def signer(entity: bytes, scratch: Path) -> Certificate:
    """Who signed, as openssl tells after it verified the signature."""
    path = scratch / "signer.pem"
    openssl.run("cms", "-verify", "-inform", "SMIME", "-noverify", "-signer", path, stdin=entity)
    return certificate(path)


def test_the_next_key_signs_from_the_minute_at_which_its_certificate_is_valid(home: Path) -> None:
    """Without a reload: the clock alone decides."""
    new = made(home, "otp-next", "otp@bank.example", Purpose.SIGN, TOMORROW)
    with context(home, with_generations("otp", new)) as bank:
        old = certificate(home / "keys" / "otp.crt.pem")
        for at, expected in ((JUST_BEFORE, old), (TOMORROW, certificate(new.certificate)), (JUST_BEFORE, old)):
            entity = sent(bank, at, "otp@bank.example", "online-banking")
            assert signer(entity, home) == expected


def test_old_mail_decrypts_after_rotation(home: Path) -> None:
    """Field report 15: only one key for each account was tried, and last year's mail was lost."""
    old_key, old_certificate = home / "keys" / "support-decrypt.key.pem", home / "keys" / "support-decrypt.crt.pem"
    new = made(home, "support-next", "support@bank.example", Purpose.DECRYPT, datetime.now(UTC) - timedelta(days=1))

    def rolled(settings: Settings) -> Settings:
        """The new key stands first, the old one beneath it."""
        keys = tuple(
            key.model_copy(update={"key": new.key, "certificate": new.certificate,
                                   "generations": (Generation(key=old_key, certificate=old_certificate),)})
            if key.name == "support" else key for key in settings.keys)
        return settings.model_copy(update={"keys": keys})

    with context(home, rolled) as bank:
        inner = openssl.sign(b"Content-Type: text/plain\r\n\r\nplease call 0800\r\n", bank.bank.people["anna"])
        for path in (old_certificate, new.certificate):
            bank.inbound.taken.clear()
            octets = openssl.encrypt(inner, path, ("anna@customer.example", "support@bank.example", "Question"))
            bank.gateway.handle(bank.receive(octets, "support@bank.example"))
            assert b"please call 0800" in bank.inbound.octets_for("support@bank.example"), path


def test_customers_are_told_the_certificate_of_the_key_that_opens_then(home: Path) -> None:
    """`encryption_certificate` names one of the key set that opens: what is told follows its generations."""
    new = made(home, "support-next", "support@bank.example", Purpose.DECRYPT, TOMORROW)
    with context(home, with_generations("support", new)) as bank:
        old = certificate(home / "keys" / "support-decrypt.crt.pem")
        for at, told, other in ((JUST_BEFORE, old, certificate(new.certificate)),
                                (TOMORROW, certificate(new.certificate), old)):
            entity = sent(bank, at, "staff@bank.example", "staff")
            enclosed = parse_signed(openssl.run("cms", "-cmsout", "-inform", "SMIME", "-outform", "DER",
                                                stdin=entity)).certificate_values()
            assert told in enclosed
            assert other not in enclosed
            assert signer(entity, home) == certificate(home / "keys" / "staff.crt.pem")


def test_each_generations_certificate_is_of_its_own_key(home: Path) -> None:
    new = made(home, "otp-next", "otp@bank.example", Purpose.SIGN, TOMORROW)
    wrong = new.model_copy(update={"certificate": home / "keys" / "staff.crt.pem"})
    with pytest.raises(GatewayError) as caught, context(home, with_generations("otp", wrong)):
        pass
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "is not the certificate of" in caught.value.detail
    assert str(new.key) in caught.value.detail


def test_a_generation_has_the_purpose_of_its_set_alone(home: Path) -> None:
    box = Generation(key=home / "keys" / "support-decrypt.key.pem",
                     certificate=home / "keys" / "support-decrypt.crt.pem")
    with pytest.raises(GatewayError) as caught, context(home, with_generations("otp", box)):
        pass
    assert caught.value.reason is Reason.KEY_WRONG_PURPOSE


def test_a_scheme_of_the_set_holds_for_generations_of_its_kind(home: Path) -> None:
    """PSS stays PSS over a rollover; a generation of another kind of key gets the scheme of that kind."""
    rsa = made(home, "otp-rsa", "otp@bank.example", Purpose.SIGN, TOMORROW)
    elliptic = ca.generate_signing_key("p-256")
    authorities = Authorities.load(home / "pki", 0)
    der = authorities.service("otp-p256", "otp@bank.example", Purpose.SIGN, elliptic, TOMORROW + timedelta(days=7))
    write(home / "keys" / "otp-p256.key.pem", key_pem(elliptic), mode=0o600)
    write(home / "keys" / "otp-p256.crt.pem", pem(der))
    other = Generation(key=home / "keys" / "otp-p256.key.pem", certificate=home / "keys" / "otp-p256.crt.pem")

    def change(settings: Settings) -> Settings:
        rolled = with_generations("otp", rsa, other)(settings)

        def pss(key: KeySet) -> KeySet:
            return key.model_copy(update={"scheme": "rsa-pss-sha256"}) if key.name == "otp" else key

        return rolled.model_copy(update={"keys": tuple(map(pss, rolled.keys))})

    with context(home, change) as bank:
        otp = bank.gateway.context.key_sets["otp"]
        found = [otp.signer_at(at).prepared.profile.scheme.value
                 for at in (JUST_BEFORE, TOMORROW, TOMORROW + timedelta(days=8))]
        assert found == ["rsa-pss-sha256", "rsa-pss-sha256", "ecdsa-sha256"]
        assert sent(bank, TOMORROW + timedelta(days=8), "otp@bank.example", "online-banking")
