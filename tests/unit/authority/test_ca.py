"""Certificates that the bank makes: their profile, as openssl and cryptography's own verifier see it."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from gateway.authority import ca
from gateway.authority.ca import Naming, Purpose
from gateway.errors import GatewayError, Reason
from tests.support.peer_openssl import OpenSsl
from tests.support.peer_openssl import write as openssl_file
from tests.support.peers import run
from tests.support.pki import ALGORITHMS_ENCRYPT, ALGORITHMS_SIGN, END, PASSWORD, START, Person, get_pki, pem

EMAIL, STAMPING = "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.8"


@pytest.mark.parametrize("algorithm", ALGORITHMS_SIGN)
def test_a_signers_certificate_has_one_purpose(algorithm):
    certificate = get_pki().signer(algorithm).certificate
    assert certificate.key_algorithm == algorithm
    assert certificate.key_usage == {"digital_signature"}
    assert certificate.extended_key_usage == {EMAIL}
    assert certificate.emails == (f"sign-{algorithm}@bank.example",)
    assert certificate.aki == get_pki().intermediate.certificate.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier).value.digest
    assert 120 < certificate.serial.bit_length() < 128
    assert not certificate.is_ca


@pytest.mark.parametrize("algorithm", ALGORITHMS_ENCRYPT)
def test_a_recipients_certificate_cannot_sign(algorithm):
    """RFC 8551 4.4.2, RFC 5480 3, RFC 8410 5."""
    certificate = get_pki().recipient(algorithm).certificate
    assert certificate.key_usage == {"key_encipherment" if algorithm.startswith("rsa") else "key_agreement"}
    assert certificate.extended_key_usage == {EMAIL}


def test_a_time_stamper_has_the_sole_critical_usage():
    """RFC 3161 2.3."""
    certificate = get_pki().stamper().certificate
    assert certificate.extended_key_usage == {STAMPING}
    assert certificate.eku_critical


@pytest.mark.parametrize("who, purpose", [("signer", "smimesign"), ("recipient", "smimeencrypt"),
                                          ("stamper", "timestampsign")])
def test_openssl_finds_the_way_to_the_root_for_this_purpose(who, purpose):
    pki = get_pki()
    person = getattr(pki, who)()
    verified(person, pki.tsa_root_pem if who == "stamper" else pki.root_pem, "-x509_strict", "-purpose", purpose)


def verified(person: Person, root: bytes, *options: str) -> None:
    chain = b"".join(map(pem, person.chain_der))
    run(OpenSsl().program, "verify", *options, "-CAfile", openssl_file(root, "pem"),
        *(("-untrusted", openssl_file(chain, "pem")) if chain else ()), openssl_file(person.pem, "pem"))


def test_an_address_outside_ascii_becomes_a_smtp_utf8_mailbox():
    """RFC 8398 3."""
    person = get_pki().recipient("p-256", email="jürgen@customer.example")
    assert person.certificate.emails == ("jürgen@customer.example",)
    text = run(OpenSsl().program, "x509", "-inform", "DER", "-noout", "-text", octets=person.der)
    assert b"SmtpUTF8Mailbox" in text


def test_a_chain_of_two_intermediates_encloses_both():
    pki = get_pki()
    upper = ca.create_intermediate(pki.root, Naming("upper"), ca.generate_signing_key("p-256"), START, END,
                                   path_length=1)
    lower = ca.create_intermediate(upper, Naming("lower"), ca.generate_signing_key("ed25519"), START, END)
    person = pki.signer("p-256", issuer=lower)
    assert person.chain_der == (lower.der, upper.der)
    verified(person, pki.root_pem)


@pytest.mark.parametrize("algorithm", ["rsa-1024", "rsa-", "rsa-99999", "dsa-2048", "p-192", "", "rsa-٢٠٤٨"])
def test_keys_that_are_not_made(algorithm):
    with pytest.raises(GatewayError) as caught:
        ca.generate_key(algorithm)
    assert caught.value.reason is Reason.USAGE


def test_an_agreement_key_cannot_issue():
    with pytest.raises(GatewayError) as caught:
        ca.generate_signing_key("x25519")
    assert caught.value.reason is Reason.USAGE


@pytest.mark.parametrize("naming, before, after", [
    (Naming("x" * 65), START, END), (Naming("x", country="Germany"), START, END), (Naming("x"), END, START)],
    ids=["name too long", "country of seven letters", "ends before it begins"])
def test_what_no_certificate_can_carry_is_usage(naming, before, after):
    pki = get_pki()
    key = ca.generate_key("p-256")
    with pytest.raises(GatewayError) as caught:
        ca.issue(pki.intermediate, naming, key.public_key(), ca.profile_for(Purpose.SIGN, key.public_key()),
                 before, after)
    assert caught.value.reason is Reason.USAGE


def test_serial_numbers_differ():
    pki, key = get_pki(), ca.generate_key("p-256")
    serials = {x509.load_der_x509_certificate(ca.issue(
        pki.root, Naming("x"), key.public_key(), ca.profile_for(Purpose.SIGN, key.public_key()), START,
        END - timedelta(days=1))).serial_number for _ in range(20)}
    assert len(serials) == 20


@pytest.mark.parametrize("old", [False, True], ids=["aes-256", "3des as Windows writes it"])
@pytest.mark.parametrize("algorithm", ["rsa-2048", "p-256", "ed25519"])
def test_pkcs12_holds_key_certificate_and_chain(algorithm, old):
    person = get_pki().signer(algorithm)
    key, certificate, more = pkcs12.load_key_and_certificates(person.p12(old=old), PASSWORD)
    assert key.public_key() == person.key.public_key()
    assert certificate == person.certificate.x509
    assert list(more) == [issuer.x509 for issuer in person.chain]
    with pytest.raises(ValueError):
        pkcs12.load_key_and_certificates(person.p12(old=old), b"wrong")


def test_pkcs12_for_x25519_is_refused_by_name():
    with pytest.raises(GatewayError) as caught:
        get_pki().recipient("x25519").p12()
    assert caught.value.reason is Reason.USAGE
