"""SignedData as we read it: the numbered rules of the module, each by a message that breaks exactly one of them.

The messages are made by tests/support/forge.py, whose honest output openssl accepts (the first test), so that a
refusal comes from the one fault. What other programs write is read in tests/peers/test_signed.py.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cms import algorithms, attributes, signed, signed_reader
from gateway.cms.signed_reader import SignedData, find_certificate, form_fault, parse_signed, verify
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from tests.support import forge
from tests.support.ours import algorithm_of
from tests.support.peer_openssl import OpenSsl
from tests.support.peer_openssl import write as openssl_file
from tests.support.peers import PeerRefused, Signing, run
from tests.support.pki import NOW, START, Person, get_pki

S = SignScheme
CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"


def signer(scheme: SignScheme = S.ECDSA_SHA256) -> Person:
    return get_pki().signer(algorithm_of(scheme))


def judged(der: bytes, content: bytes = CONTENT, person: Person | None = None, at: datetime = NOW) -> Reason | None:
    """The verdict on the only SignerInfo of `der`."""
    data = parse_signed(der)
    (info,) = data.signer_infos
    certificate = person.certificate if person else find_certificate(info, data.certificate_values())
    assert certificate is not None
    return verify(info, certificate, lambda name: hashlib.new(name, content).digest(), at=at)


def made(scheme: SignScheme = S.ECDSA_SHA256, **faults) -> bytes:
    person = signer(scheme)
    return forge.signed_data([forge.signer_info(person, scheme, CONTENT, **faults)], content=None,
                             certificates=[person.der, *person.chain_der])


def least(content: bytes = CONTENT, name: str = "sha256") -> list[bytes]:
    return [forge.content_type(), forge.message_digest(content, name)]


@pytest.mark.parametrize("scheme", list(SignScheme))
def test_the_least_that_is_allowed_is_valid_here_and_with_openssl(scheme):
    der = made(scheme)
    assert judged(der) is None
    assert judged(der, CONTENT + b" ") is Reason.SIGNATURE_ALTERED
    assert OpenSsl().verify(der, CONTENT, get_pki()) == CONTENT


# --- 1: algorithms ---


@pytest.mark.parametrize("name", ["md5", "sha1"])
def test_weak_digests_are_refused_by_name_though_the_arithmetic_is_right(name):
    person = signer(S.RSA_PKCS1_SHA256)
    given = [forge.content_type(), forge.message_digest(CONTENT, name)]
    der = made(S.RSA_PKCS1_SHA256, given=given, digest_id=algorithms.digest_identifier(name))
    assert judged(der) is Reason.SIGNATURE_WEAK_ALGORITHM
    full = algorithms.identifier({"md5": "1.2.840.113549.1.1.4", "sha1": "1.2.840.113549.1.1.5"}[name], build.null())
    der = made(S.RSA_PKCS1_SHA256, signature_id=full)
    assert judged(der, person=person) is Reason.SIGNATURE_WEAK_ALGORITHM


def test_a_sha1_signature_by_openssl_is_refused():
    person = signer(S.RSA_PKCS1_SHA256)
    der = run(OpenSsl().program, "cms", "-sign", "-binary", "-outform", "DER", "-in", openssl_file(CONTENT, "bin"),
              "-signer", openssl_file(person.pem, "pem"), "-inkey", openssl_file(person.key_pem, "pem"), "-md", "sha1")
    assert judged(der) is Reason.SIGNATURE_WEAK_ALGORITHM


def test_pss_with_sha1_defaults_is_weak():
    """RFC 4055 3.1: absent fields mean SHA-1."""
    der = made(S.RSA_PSS_SHA256, signature_id=algorithms.identifier(algorithms.RSA_PSS, build.sequence()))
    assert judged(der) is Reason.SIGNATURE_WEAK_ALGORITHM


@pytest.mark.parametrize("place", ["digest_id", "signature_id"])
def test_what_is_not_in_the_table_is_unknown_not_invalid(place):
    der = made(**{place: algorithms.identifier("1.3.6.1.4.1.99999.77")})
    assert judged(der, person=signer()) is Reason.SIGNATURE_ALGORITHM_UNKNOWN


@pytest.mark.parametrize("oid", ["2.16.840.1.101.3.4.3.18", "1.3.101.113"])
def test_algorithms_of_tomorrow_are_unknown(oid):
    """ML-DSA-65, Ed448: named, not verified here."""
    assert judged(made(signature_id=algorithms.identifier(oid)), person=signer()) is Reason.SIGNATURE_ALGORITHM_UNKNOWN


def test_the_digests_of_content_and_signature_must_agree():
    """RFC 8933 2, RFC 4056 3."""
    given = [forge.content_type(), forge.message_digest(CONTENT, "sha512")]
    der = made(given=given, digest_id=algorithms.digest_identifier("sha512"))
    assert judged(der) is Reason.SIGNATURE_MALFORMED
    der = made(S.RSA_PSS_SHA256, given=given, digest_id=algorithms.digest_identifier("sha512"))
    assert judged(der) is Reason.SIGNATURE_MALFORMED


def test_ed25519_wants_sha512_beside_it():
    """RFC 8419 3.1."""
    der = made(S.ED25519, given=least(), digest_id=algorithms.digest_identifier("sha256"))
    assert judged(der) is Reason.SIGNATURE_MALFORMED


def test_rsa_named_with_its_digest_is_as_good_as_rsa_alone():
    """RFC 5754 3.2 allows both."""
    full = algorithms.identifier("1.2.840.113549.1.1.11", build.null())
    assert judged(made(S.RSA_PKCS1_SHA256, signature_id=full)) is None


@pytest.mark.parametrize("salt", [0, 20, 64])
def test_pss_salt_of_another_length_is_read_from_its_parameters(salt):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    person = signer(S.RSA_PSS_SHA256)
    to_be_signed = build.set_of(*least())
    signature = person.key.sign(to_be_signed, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
    hashed = algorithms.digest_identifier("sha256")
    parameters = build.sequence(build.context(0, hashed),
                                build.context(1, algorithms.identifier(algorithms.MGF1, hashed)),
                                build.context(2, build.integer(salt)))
    der = made(S.RSA_PSS_SHA256, signature=signature,
               signature_id=algorithms.identifier(algorithms.RSA_PSS, parameters))
    assert judged(der) is None


# --- 2 to 4: signed attributes ---


def test_without_signed_attributes_nothing_is_believed():
    person = signer()
    assert judged(made(given=None)) is Reason.SIGNATURE_ATTRIBUTES
    der = run(OpenSsl().program, "cms", "-sign", "-binary", "-outform", "DER", "-noattr",
              "-in", openssl_file(CONTENT, "bin"), "-signer", openssl_file(person.pem, "pem"),
              "-inkey", openssl_file(person.key_pem, "pem"))
    assert judged(der) is Reason.SIGNATURE_ATTRIBUTES


ANYTHING = attributes.attribute("1.3.6.1.4.1.99999.5", build.null())
TWO_TIMES = attributes.attribute(attributes.SIGNING_TIME, build.time(NOW), build.time(START))
BROKEN = {
    "no contentType": [forge.message_digest(CONTENT)],
    "no messageDigest": [forge.content_type()],
    "contentType twice": [forge.content_type(), *least()],
    "two contentTypes in one": [
        attributes.attribute(attributes.CONTENT_TYPE, build.oid(algorithms.DATA), build.oid(algorithms.DATA)),
        forge.message_digest(CONTENT)],
    "contentType of no value": [build.sequence(build.oid(attributes.CONTENT_TYPE), build.set_of()),
                                forge.message_digest(CONTENT)],
    "another contentType": [forge.content_type(algorithms.TST_INFO), forge.message_digest(CONTENT)],
    "contentType is no OID": [attributes.attribute(attributes.CONTENT_TYPE, build.null()),
                              forge.message_digest(CONTENT)],
    "messageDigest twice": [*least(), forge.message_digest(b"another")],
    "two messageDigests in one": [forge.content_type(), attributes.attribute(
        attributes.MESSAGE_DIGEST, build.octet_string(hashlib.sha256(CONTENT).digest()),
        build.octet_string(hashlib.sha256(b"another").digest()))],
    "messageDigest is no OCTET STRING": [forge.content_type(), attributes.attribute(
        attributes.MESSAGE_DIGEST, build.tlv(0x80, hashlib.sha256(CONTENT).digest()))],
    "signingTime twice": [*least(), forge.signing_time(), forge.signing_time(START)],
    "two signingTimes in one": [*least(), TWO_TIMES],
    "signingTime is no time": [*least(), attributes.attribute(attributes.SIGNING_TIME, build.utf8("now"))],
    "an unknown attribute twice": [*least(), ANYTHING, ANYTHING],
    "signingCertificateV2 of nothing": [*least(), attributes.attribute(attributes.SIGNING_CERTIFICATE_V2,
                                                                       build.sequence(build.sequence()))],
    "signingCertificateV2 with an endless serial": [*least(), attributes.attribute(
        attributes.SIGNING_CERTIFICATE_V2, build.sequence(build.sequence(build.sequence(
            build.octet_string(bytes(32)),
            build.sequence(build.sequence(), build.tlv(2, b"\x01" * 3000))))))],
}


@pytest.mark.parametrize("given", BROKEN.values(), ids=BROKEN.keys())
def test_attributes_that_are_not_as_the_rfc_wants_them(given):
    """RFC 5652 5.3, 11.1 to 11.3: the arithmetic of every one of these is right."""
    assert judged(made(given=given)) is Reason.SIGNATURE_ATTRIBUTES


UNSORTED = sorted([*least(), forge.signing_time()], reverse=True)


def signed_over(octets: bytes, given: list[bytes] = UNSORTED) -> bytes:
    """A message that sends `given` in this order, signed over `octets`."""
    return made(given=given, in_order=False, signature=signer().sign(S.ECDSA_SHA256, octets))


def test_attributes_in_another_order_than_der():
    """RFC 5652 5.4 signs the DER encoding; Outlook for Mac signs what it sends, which openssl verifies."""
    as_sent = made(given=UNSORTED, in_order=False)
    assert judged(as_sent) is None
    assert OpenSsl().verify(as_sent, CONTENT, get_pki()) == CONTENT
    assert judged(signed_over(build.set_of(*UNSORTED))) is None


@pytest.mark.parametrize("octets", [
    build.tlv(0xA0, *UNSORTED), b"".join(UNSORTED), build.tlv(0x31, *UNSORTED[1:], UNSORTED[0]), CONTENT],
    ids=["tag as sent", "no tag", "a third order", "the content"])
def test_signature_over_anything_else_is_altered(octets):
    assert judged(signed_over(octets)) is Reason.SIGNATURE_ALTERED


def test_repeated_attributes_are_refused_in_any_order():
    given = [*UNSORTED, UNSORTED[0]]
    assert judged(made(given=given, in_order=False)) is Reason.SIGNATURE_ATTRIBUTES


def test_values_of_one_attribute_in_another_order_than_der():
    two = [build.integer(2), build.integer(1)]
    sent = build.sequence(build.oid("1.3.6.1.4.1.99999.7"), build.tlv(0x31, *two))
    encoded = build.sequence(build.oid("1.3.6.1.4.1.99999.7"), build.set_of(*two))
    assert judged(signed_over(build.set_of(*least(), encoded), [*least(), sent])) is None


def test_unknown_attributes_do_no_harm():
    assert judged(made(given=[*least(), ANYTHING])) is None


# --- 5: the certificate under the signature ---


def test_signing_certificate_v2_must_be_of_the_signer():
    other = get_pki().signer("p-256", which=1)
    assert judged(made(given=[*least(), attributes.signing_certificate_v2(signer().certificate)])) is None
    swapped = made(given=[*least(), attributes.signing_certificate_v2(other.certificate)])
    assert judged(swapped) is Reason.SIGNATURE_CERTIFICATE_MISMATCH


def ess(oid: str, digest: bytes, *more: bytes, digest_id: bytes = b"") -> bytes:
    return attributes.attribute(oid, build.sequence(build.sequence(
        build.sequence(digest_id, build.octet_string(digest), *more))))


def test_the_certificate_hash_may_be_of_another_digest_or_of_the_old_form():
    """RFC 5035 4; SHA-1 names here, it does not protect the content."""
    der = signer().der
    for name in ("sha384", "sha512"):
        given = ess(attributes.SIGNING_CERTIFICATE_V2, hashlib.new(name, der).digest(),
                    digest_id=algorithms.digest_identifier(name))
        assert judged(made(given=[*least(), given])) is None
    old = ess(attributes.SIGNING_CERTIFICATE, hashlib.sha1(der).digest())
    assert judged(made(given=[*least(), old])) is None
    wrong = ess(attributes.SIGNING_CERTIFICATE, hashlib.sha1(der + b"x").digest())
    assert judged(made(given=[*least(), wrong])) is Reason.SIGNATURE_CERTIFICATE_MISMATCH
    unknown = ess(attributes.SIGNING_CERTIFICATE_V2, bytes(32), digest_id=algorithms.identifier("1.3.6.1.4.1.99999.7"))
    assert judged(made(given=[*least(), unknown])) is Reason.SIGNATURE_CERTIFICATE_MISMATCH


def test_both_forms_must_agree():
    der = signer().der
    good = attributes.signing_certificate_v2(signer().certificate)
    wrong = ess(attributes.SIGNING_CERTIFICATE, hashlib.sha1(der + b"x").digest())
    assert judged(made(given=[*least(), good, wrong])) is Reason.SIGNATURE_CERTIFICATE_MISMATCH


def test_issuer_and_serial_beside_the_hash_must_agree_too():
    der, certificate = signer().der, signer().certificate
    for issuer, serial in ((certificate.issuer_der, certificate.serial + 1), (build.sequence(), certificate.serial)):
        names = build.sequence(build.context(4, issuer))
        given = ess(attributes.SIGNING_CERTIFICATE_V2, hashlib.sha256(der).digest(),
                    build.sequence(names, build.integer(serial)))
        assert judged(made(given=[*least(), given])) is Reason.SIGNATURE_CERTIFICATE_MISMATCH


def test_it_can_be_demanded():
    data = parse_signed(made())
    digest = hashlib.sha256(CONTENT).digest()
    assert verify(data.signer_infos[0], signer().certificate, lambda _: digest, at=NOW,
                  certificate_named=True) is Reason.SIGNATURE_ATTRIBUTES


def test_of_two_certificates_with_one_name_the_meant_one_is_found():
    """A renewed certificate with the old serial: broken, and seen."""
    person = signer()
    twin = get_pki().signer("p-256", which=2, serial=person.certificate.serial, email="twin@bank.example")
    assert twin.certificate.issuer_der == person.certificate.issuer_der
    given = [*least(), attributes.signing_certificate_v2(person.certificate)]
    info = forge.signer_info(person, S.ECDSA_SHA256, CONTENT, given=given)
    for bag in ([person.der, twin.der], [twin.der, person.der]):
        data = parse_signed(forge.signed_data([info], content=None, certificates=bag))
        assert find_certificate(data.signer_infos[0], data.certificate_values()) == person.certificate


def test_a_signer_named_by_key_identifier_is_found():
    person = signer()
    der = forge.signed_data([forge.signer_info(person, S.ECDSA_SHA256, CONTENT,
                                               sid=build.context(0, person.certificate.ski, constructed=False))],
                            content=None, certificates=[*person.chain_der, person.der])
    assert judged(der) is None
    (info,) = parse_signed(der).signer_infos
    assert info.signer == (None, None, person.certificate.ski)


def test_another_mans_certificate_does_not_verify():
    other = get_pki().signer("p-256", which=1)
    assert judged(made(), person=other) is Reason.SIGNATURE_ALTERED
    assert judged(made(), person=signer(S.RSA_PKCS1_SHA256)) is Reason.SIGNATURE_CERTIFICATE_MISMATCH


# --- 6: algorithm protection ---


def test_algorithm_protection_must_repeat_both_algorithms():
    """RFC 6211 2."""
    digest = algorithms.digest_identifier("sha256")
    right = algorithms.signature_identifier(S.ECDSA_SHA256)
    wrong = algorithms.signature_identifier(S.RSA_PKCS1_SHA256)
    for one, two, verdict in ((digest, right, None), (digest, wrong, Reason.SIGNATURE_ATTRIBUTES),
                              (algorithms.digest_identifier("sha512"), right, Reason.SIGNATURE_ATTRIBUTES)):
        assert judged(made(given=[*least(), attributes.algorithm_protection(one, two)])) is verdict


def test_algorithm_protection_with_a_mac_protects_no_signature():
    value = build.sequence(algorithms.digest_identifier("sha256"),
                           build.retag(0xA2, algorithms.signature_identifier(S.ECDSA_SHA256)))
    given = [*least(), attributes.attribute(attributes.ALGORITHM_PROTECTION, value)]
    assert judged(made(given=given)) is Reason.SIGNATURE_ATTRIBUTES


def test_null_and_absent_parameters_are_one_algorithm():
    given = [*least(), attributes.algorithm_protection(
        algorithms.identifier(algorithms.DIGEST_OIDS["sha256"], build.null()),
        algorithms.signature_identifier(S.RSA_PKCS1_SHA256))]
    assert judged(made(S.RSA_PKCS1_SHA256, given=given)) is None


# --- 7 to 9: key and arithmetic ---


def test_rsa_below_2048_bits_is_weak():
    from cryptography.hazmat.primitives.asymmetric import rsa

    from gateway.authority import ca

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pki = get_pki()
    der = ca.issue(pki.intermediate, ca.Naming("small", emails=("small@bank.example",)), key.public_key(),
                   ca.profile_for(ca.Purpose.SIGN, key.public_key()), START, datetime(2045, 1, 1, tzinfo=UTC))
    person = Person("small", der, key, ())
    info = forge.signer_info(person, S.RSA_PKCS1_SHA256, CONTENT)
    assert judged(forge.signed_data([info], content=None, certificates=[der])) is Reason.SIGNATURE_WEAK_KEY


@cache
def pss_only() -> Person:
    """Somebody whose key is bound to PSS by its own identifier, made by openssl: cryptography cannot."""
    key_pem = run(OpenSsl().program, "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")
    der = run(OpenSsl().program, "req", "-x509", "-key", openssl_file(key_pem, "pem"), "-outform", "DER",
              "-subj", "/CN=pss", "-days", "9000", "-addext", "subjectAltName=email:pss@bank.example",
              "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")
    return Person("pss", der, load_pem_private_key(key_pem, None), ())


def test_a_key_that_is_bound_to_pss_signs_by_pss_alone():
    """RFC 4055 1.2."""
    for scheme, verdict in ((S.RSA_PSS_SHA256, None), (S.RSA_PKCS1_SHA256, Reason.SIGNATURE_CERTIFICATE_MISMATCH)):
        info = forge.signer_info(pss_only(), scheme, CONTENT)
        assert judged(forge.signed_data([info], content=None, certificates=[pss_only().der])) is verdict
    assert signed.prepare(signed.SignerProfile(pss_only().certificate, (), S.RSA_PSS_SHA256)).digest_name == "sha256"
    with pytest.raises(GatewayError) as caught:
        signed.prepare(signed.SignerProfile(pss_only().certificate, (), S.RSA_PKCS1_SHA256))
    assert caught.value.reason is Reason.KEY_WRONG_PURPOSE


@pytest.mark.parametrize("scheme", list(SignScheme))
def test_a_signature_of_any_octets_is_altered_not_an_exception(scheme):
    for signature in (b"", b"\0", b"\xff" * 256, b"\x30\x06\x02\x01\x00\x02\x01\x00"):
        assert judged(made(scheme, signature=signature)) is Reason.SIGNATURE_ALTERED


@cache
def ours() -> tuple[bytes, int]:
    """A message by the gateway's own writer, and where its signed attributes begin."""
    person = signer()
    prepared = signed.prepare(signed.SignerProfile(person.certificate, (), S.ECDSA_SHA256))
    digest = hashlib.sha256(CONTENT).digest()
    der = signed.sign(prepared, content=None, digest=digest, at=NOW,
                      raw_sign=lambda octets: person.sign(S.ECDSA_SHA256, octets))
    return der, der.index(prepared.signed_attributes(digest, NOW)[1:])


@settings(deadline=None)
@given(st.data())
def test_no_flipped_bit_of_a_signer_info_stays_valid(data):
    """Whatever is changed between the first octet of signedAttrs and the last one of the signature is noticed."""
    der, start = ours()
    place = data.draw(st.integers(start, len(der) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(der)
    changed[place] ^= 1 << bit
    try:
        verdict = judged(bytes(changed), person=signer())
    except GatewayError as error:
        verdict = error.reason
    assert verdict is not None


# --- form, several signers, BER, hostile input ---


def test_the_form_of_a_mail():
    """RFC 8551 3.5.3: a content inside multipart/signed is a second message; 2.4.2: id-data."""
    person = signer()
    info = forge.signer_info(person, S.ECDSA_SHA256, CONTENT)
    opaque = parse_signed(forge.signed_data([info], content=CONTENT))
    detached = parse_signed(forge.signed_data([info], content=None))
    other = parse_signed(forge.signed_data([info], content=CONTENT, of=algorithms.TST_INFO))
    assert form_fault(opaque, detached=False) is None
    assert form_fault(detached, detached=True) is None
    assert form_fault(opaque, detached=True) is Reason.SIGNATURE_MALFORMED
    assert form_fault(detached, detached=False) is Reason.SIGNATURE_MALFORMED
    assert form_fault(other, detached=False) is Reason.SIGNATURE_MALFORMED


def test_zero_signers_are_representable():
    person = signer()
    data = parse_signed(signed.certificates_only((person.certificate,)))
    assert data.signer_infos == ()
    assert data.certificates == (person.der,)
    assert form_fault(data, detached=False) is None


def test_several_signers_are_judged_each_for_itself():
    people = [(signer(scheme), scheme) for scheme in (S.RSA_PKCS1_SHA256, S.ECDSA_SHA256, S.ED25519)]
    infos = [forge.signer_info(person, scheme, CONTENT) for person, scheme in people]
    infos.append(forge.signer_info(people[1][0], S.ECDSA_SHA256, CONTENT,
                                   signature_id=algorithms.identifier("1.3.6.1.4.1.99999.77")))
    infos.append(forge.signer_info(people[0][0], S.RSA_PKCS1_SHA256, b"something else"))
    data = parse_signed(forge.signed_data(infos, content=CONTENT, certificates=[person.der for person, _ in people]))
    known = data.certificate_values()
    verdicts = [verify(info, find_certificate(info, known), lambda name: hashlib.new(name, CONTENT).digest(), at=NOW)
                for info in data.signer_infos]
    assert verdicts == [None, None, None, Reason.SIGNATURE_ALGORITHM_UNKNOWN, Reason.SIGNATURE_ALTERED]


def test_two_signers_by_openssl():
    words = []
    for scheme in (S.RSA_PKCS1_SHA256, S.ECDSA_SHA256):
        person = signer(scheme)
        words += ["-signer", openssl_file(person.pem, "pem"), "-inkey", openssl_file(person.key_pem, "pem")]
    data = parse_signed(run(OpenSsl().program, "cms", "-sign", "-binary", "-nodetach", "-outform", "DER",
                            "-in", openssl_file(CONTENT, "bin"), *words))
    assert data.content == CONTENT
    for info in data.signer_infos:
        certificate = find_certificate(info, data.certificate_values())
        assert verify(info, certificate, lambda name: hashlib.new(name, CONTENT).digest(), at=NOW) is None
    assert len(data.signer_infos) == 2


def test_indefinite_lengths_and_segments_are_read():
    content = CONTENT * 5000
    der = OpenSsl().sign(content, signer(), Signing(S.ECDSA_SHA256, detached=False, stream=True))
    assert der[:2] == b"\x30\x80", "openssl wrote no BER: the test tests nothing"
    assert parse_signed(der).content == content
    assert judged(der, content) is None


def test_a_detached_signature_in_indefinite_length_is_read():
    der = made()
    start = der.index(build.integer(1))
    inside = der[start:]  # of the SignedData; the three elements around it become indefinite
    ber = b"\x30\x80" + build.oid(algorithms.SIGNED_DATA) + b"\xa0\x80\x30\x80" + inside + b"\0" * 6
    assert parse_signed(ber) == parse_signed(der)
    assert judged(ber) is None


def test_an_unreadable_certificate_beside_the_signers_does_no_harm():
    person = signer()
    info = forge.signer_info(person, S.ECDSA_SHA256, CONTENT)
    data = parse_signed(forge.signed_data([info], content=None, certificates=[
        build.sequence(build.null()), person.der, build.context(3, build.null())]))
    assert len(data.certificates) == 2
    assert data.certificate_values() == (person.certificate,)


def test_signing_time_and_capabilities_are_told():
    person = signer()
    prepared = signed.prepare(signed.SignerProfile(person.certificate, person.chain, S.ECDSA_SHA256,
                                                   get_pki().recipient("rsa-2048").certificate))
    der = signed.sign(prepared, content=None, digest=hashlib.sha256(CONTENT).digest(), at=NOW,
                      raw_sign=lambda octets: person.sign(S.ECDSA_SHA256, octets))
    (info,) = parse_signed(der).signer_infos
    assert info.signing_time == NOW
    assert info.capabilities is not None
    assert info.capabilities in attributes.smime_capabilities(get_pki().recipient("rsa-2048").certificate)
    (bare,) = parse_signed(made()).signer_infos
    assert bare.signing_time is None
    assert bare.capabilities is None


def test_a_time_or_capabilities_that_cannot_be_read_are_not_told():
    two = attributes.attribute(attributes.SMIME_CAPABILITIES, build.sequence(), build.sequence())
    (info,) = parse_signed(made(given=[*least(), TWO_TIMES, two])).signer_infos
    assert info.signing_time is None
    assert info.capabilities is None
    (info,) = parse_signed(made(given=[*least(), forge.signing_time(), forge.signing_time(START)])).signer_infos
    assert info.signing_time is None


def test_a_key_that_cannot_be_loaded_is_undecided():
    """P-256 by its name, but its point is not on the curve."""
    person = signer()
    broken = bytes(octet ^ 1 if place == 90 else octet for place, octet in enumerate(person.certificate.spki))
    (info,) = parse_signed(made()).signer_infos
    certificate = replace(person.certificate, spki=broken)
    assert verify(info, certificate, lambda name: hashlib.new(name, CONTENT).digest(),
                  at=NOW) is Reason.SIGNATURE_ALGORITHM_UNKNOWN


SID = build.sequence(build.sequence(), build.integer(1))
DIGEST_ID, SIGNATURE_ID = algorithms.digest_identifier("sha256"), algorithms.signature_identifier(S.ECDSA_SHA256)
WHOLE = (build.integer(1), SID, DIGEST_ID, SIGNATURE_ID, build.octet_string(b"s"))


def outer(*fields: bytes, kind: str = algorithms.SIGNED_DATA) -> bytes:
    return build.sequence(build.oid(kind), build.context(0, build.sequence(*fields)))


HEAD = (build.integer(1), build.set_of())
INSIDE = build.sequence(build.oid(algorithms.DATA))
MALFORMED = {
    "another content type": outer(*HEAD, INSIDE, build.set_of(), kind=algorithms.ENVELOPED_DATA),
    "version 0": outer(build.integer(0), build.set_of(), INSIDE, build.set_of()),
    "version 6": outer(build.integer(6), build.set_of(), INSIDE, build.set_of()),
    "no set of signers": outer(*HEAD, INSIDE),
    "crls before certificates": outer(*HEAD, INSIDE, build.context(1), build.context(0), build.set_of()),
    "a field after the signers": outer(*HEAD, INSIDE, build.set_of(), build.null()),
    "two things in the explicit tag": build.sequence(
        build.oid(algorithms.SIGNED_DATA),
        build.context(0, build.sequence(*HEAD, INSIDE, build.set_of()), build.null())),
    "content that is no OCTET STRING": outer(
        *HEAD, build.sequence(build.oid(algorithms.DATA), build.context(0, build.sequence())), build.set_of()),
    "signer of version 2": outer(*HEAD, INSIDE, build.set_of(build.sequence(build.integer(2), *WHOLE[1:]))),
    "signer without signature": outer(*HEAD, INSIDE, build.set_of(build.sequence(*WHOLE[:4]))),
    "signer with attributes but no signature": outer(
        *HEAD, INSIDE, build.set_of(build.sequence(*WHOLE[:3], build.context(0), SIGNATURE_ID))),
    "signer with a sixth field": outer(*HEAD, INSIDE, build.set_of(build.sequence(*WHOLE, build.null()))),
    "signer named by nothing known": outer(
        *HEAD, INSIDE, build.set_of(build.sequence(WHOLE[0], build.context(5), *WHOLE[2:]))),
    "signer named by half": outer(
        *HEAD, INSIDE, build.set_of(build.sequence(WHOLE[0], build.sequence(build.sequence()), *WHOLE[2:]))),
    "attribute without values": outer(*HEAD, INSIDE, build.set_of(build.sequence(
        *WHOLE[:3], build.context(0, build.sequence(build.oid("1.2.3"))), *WHOLE[3:]))),
    "algorithm of a kilobyte": outer(*HEAD, INSIDE, build.set_of(build.sequence(
        *WHOLE[:2], algorithms.identifier("1.2.3", build.octet_string(bytes(1000))), *WHOLE[3:]))),
}


@pytest.mark.parametrize("der", MALFORMED.values(), ids=MALFORMED.keys())
def test_structures_that_the_rfc_does_not_know(der):
    with pytest.raises(GatewayError) as caught:
        parse_signed(der)
    assert caught.value.reason is Reason.SIGNATURE_MALFORMED


def test_the_frame_of_those_structures_is_right():
    assert len(parse_signed(outer(*HEAD, INSIDE, build.set_of(build.sequence(*WHOLE)))).signer_infos) == 1
    assert parse_signed(outer(*HEAD, INSIDE, build.context(0), build.context(1), build.set_of())).crls == ()


def test_more_signers_than_the_limit():
    info = forge.signer_info(signer(), S.ECDSA_SHA256, CONTENT)
    at_limit = [info] * signed_reader.SIGNERS_MAX
    assert len(parse_signed(forge.signed_data(at_limit, content=None)).signer_infos) == signed_reader.SIGNERS_MAX
    with pytest.raises(GatewayError) as caught:
        parse_signed(forge.signed_data([*at_limit, info], content=None))
    assert caught.value.reason is Reason.INPUT_LIMIT_EXCEEDED


def test_more_attributes_than_the_limit():
    given = [attributes.attribute(f"1.3.6.1.4.1.99999.{n}", build.null()) for n in range(attributes.ATTRIBUTES_MAX - 2)]
    assert judged(made(given=[*least(), *given])) is None
    with pytest.raises(GatewayError) as caught:
        judged(made(given=[*least(), *given, ANYTHING]))
    assert caught.value.reason is Reason.INPUT_LIMIT_EXCEEDED


def test_cut_at_every_octet_it_is_malformed():
    der = made()
    for end in range(len(der)):
        with pytest.raises(GatewayError) as caught:
            parse_signed(der[:end])
        assert caught.value.reason is Reason.SIGNATURE_MALFORMED
    with pytest.raises(GatewayError):
        parse_signed(der + b"\0")


@settings(deadline=None)
@given(st.data())
def test_changed_at_random_nothing_but_a_gateway_error_comes_out(data):
    der = bytearray(ours()[0])
    for place, octet in data.draw(st.lists(st.tuples(st.integers(0, len(der) - 1), st.integers(0, 255)), max_size=4)):
        der[place] = octet
    try:
        parsed = parse_signed(bytes(der))
        assert isinstance(parsed, SignedData)
        for info in parsed.signer_infos:
            find_certificate(info, parsed.certificate_values())
            verify(info, signer().certificate, lambda name: hashlib.new(name, CONTENT).digest(), at=NOW)
    except GatewayError:
        pass


def test_openssl_agrees_that_an_altered_content_is_refused():
    """The oracle of the tests looks at the content at all."""
    with pytest.raises(PeerRefused):
        OpenSsl().verify(made(), CONTENT + b"!", get_pki())


def test_issuer_in_another_spelling_names_the_same_signer():
    """RFC 5280 7.1: case and string type of a name do not count."""
    person = signer()
    name = x509.Name([x509.NameAttribute(one.oid, one.value.swapcase()) for one in person.certificate.x509.issuer
                      if one.oid != x509.NameOID.COUNTRY_NAME])
    name = x509.Name([*(one for one in person.certificate.x509.issuer if one.oid == x509.NameOID.COUNTRY_NAME), *name])
    sid = build.sequence(name.public_bytes(), build.integer(person.certificate.serial))
    assert judged(made(sid=sid)) is None
    (info,) = parse_signed(made(sid=sid)).signer_infos
    assert find_certificate(info, [get_pki().signer("p-384").certificate]) is None
