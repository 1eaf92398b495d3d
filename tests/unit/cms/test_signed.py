"""SignedData as we write it, read by asn1crypto (another implementation) and taken apart.

That other programs verify it stands in tests/peers/test_signed.py.
"""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import cms as asn1
from asn1crypto import tsp  # noqa: F401 - teaches `cms` the attributes of RFC 3161 and 5035
from hypothesis import given
from hypothesis import strategies as st

from gateway.cms import algorithms, attributes, signed
from gateway.cms.signed import SignerProfile, prepare, sign
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from tests.support.ours import algorithm_of
from tests.support.pki import NOW, Person, get_pki

CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
S = SignScheme


def written(scheme: SignScheme = S.ECDSA_SHA256, *, at: datetime = NOW, opaque: bool = False, stamp=None,
            content: bytes = CONTENT, encrypt_to: Person | None = None) -> bytes:
    person = get_pki().signer(algorithm_of(scheme))
    prepared = prepare(SignerProfile(person.certificate, person.chain, scheme,
                                     encrypt_to.certificate if encrypt_to else None))
    return sign(prepared, content=content if opaque else None, digest=hashlib.new(scheme.digest, content).digest(),
                at=at, raw_sign=lambda octets: person.sign(scheme, octets), stamp=stamp)


def read(der: bytes) -> tuple[asn1.SignedData, asn1.SignerInfo, dict[str, asn1.CMSAttribute]]:
    info = asn1.ContentInfo.load(der, strict=True)
    assert info.dump(force=True) == der, "re-encoding by another implementation gives other octets: not DER"
    (signer,) = info["content"]["signer_infos"]
    found = {attribute["type"].native: attribute["values"] for attribute in signer["signed_attrs"]}
    return info["content"], signer, found


@pytest.mark.parametrize("scheme", list(SignScheme))
def test_every_promised_attribute_is_there_once(scheme):
    recipient = get_pki().recipient("rsa-2048")
    person = get_pki().signer(algorithm_of(scheme))
    data, signer, found = read(written(scheme, encrypt_to=recipient))
    assert [attribute["type"].native for attribute in signer["signed_attrs"]] == list(found), "an attribute twice"
    assert found["content_type"].native == ["data"]
    assert found["message_digest"].native == [hashlib.new(scheme.digest, CONTENT).digest()]
    assert found["signing_time"].native == [NOW]
    (ess,) = found["signing_certificate_v2"][0]["certs"]
    assert ess["cert_hash"].native == hashlib.sha256(person.der).digest()
    assert ess["issuer_serial"]["serial_number"].native == person.certificate.serial
    assert ess["issuer_serial"]["issuer"][0].chosen.untag().dump() == person.certificate.issuer_der
    protection = found["cms_algorithm_protection"][0]
    assert protection["digest_algorithm"].dump() == signer["digest_algorithm"].dump()
    assert protection["signature_algorithm"]["algorithm"].native == signer["signature_algorithm"]["algorithm"].native
    assert {c.dump() for c in data["certificates"]} == {person.der, *person.chain_der, recipient.der}
    assert data["version"].native == "v1"


def test_capabilities_and_key_preference_are_those_of_rfc_8551():
    recipient = get_pki().recipient("rsa-2048")
    _, _, found = read(written(encrypt_to=recipient))
    names = [capability["capability_id"].dotted for capability in found["smime_capabilities"][0]]
    assert names[:4] == ["2.16.840.1.101.3.4.1.46", "2.16.840.1.101.3.4.1.6",
                         "2.16.840.1.101.3.4.1.42", "2.16.840.1.101.3.4.1.2"]
    assert names[-2:] == [algorithms.RSA_OAEP, algorithms.RSA]
    preference = found["encrypt_key_pref"][0]
    assert preference.name == "issuer_and_serial_number"
    assert preference.chosen["serial_number"].native == recipient.certificate.serial
    (microsoft,) = found[attributes.MS_ENCRYPTION_KEY_PREFERENCE]
    which = asn1.IssuerAndSerialNumber.load(microsoft.dump())
    assert which["issuer"].dump() == recipient.certificate.issuer_der
    assert which["serial_number"].native == recipient.certificate.serial


@pytest.mark.parametrize("algorithm, oid", [("p-256", "1.3.132.1.11.1"), ("p-384", "1.3.132.1.11.2"),
                                            ("x25519", "1.2.840.113549.1.9.16.3.19")])
def test_capabilities_tell_the_key_agreement_of_the_encryption_key(algorithm, oid):
    der = written(encrypt_to=get_pki().recipient(algorithm))
    assert build.oid(oid) in der
    assert build.oid(algorithms.RSA_OAEP) not in der


def test_without_an_encryption_certificate_there_is_no_preference():
    _, _, found = read(written())
    assert "smime_capabilities" in found
    assert "encrypt_key_pref" not in found
    assert attributes.MS_ENCRYPTION_KEY_PREFERENCE not in found


@given(st.integers(min_value=-631_152_000, max_value=4_733_510_400))
def test_the_template_gives_what_composing_anew_gives(second):
    """RFC 5652 11.3: UTCTime until 2049, GeneralizedTime after; both in DER order. From 1950 to 2120."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    person = get_pki().signer("p-256")
    prepared = prepare(SignerProfile(person.certificate, person.chain, S.ECDSA_SHA256))
    digest = hashlib.sha256(CONTENT).digest()
    anew = build.set_of(
        *prepared.constant, attributes.attribute(attributes.SIGNING_TIME, build.time(at)),
        attributes.attribute(attributes.MESSAGE_DIGEST, build.octet_string(digest)))
    assert prepared.signed_attributes(digest, at) == anew


def test_a_time_in_another_zone_is_written_in_utc():
    zone = datetime.fromisoformat("2026-11-24T13:00:00+01:00")
    assert read(written(at=zone))[2]["signing_time"].native == [NOW]
    assert zone - NOW == timedelta(0)


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 255, 256, 65_535, 65_536, 300_000])
def test_opaque_content_of_every_length_form(size):
    content = b"x" * size
    data, _, _ = read(written(opaque=True, content=content))
    assert data["encap_content_info"]["content"].native == content


def test_the_stamp_is_over_the_signature_value():
    """RFC 3161 appendix A."""
    stamped: list[bytes] = []

    def stamp(value: bytes) -> bytes:
        stamped.append(value)
        return build.sequence(build.oid(algorithms.DATA))

    info = asn1.ContentInfo.load(written(stamp=stamp))
    (signer,) = info["content"]["signer_infos"]
    assert stamped == [signer["signature"].native]
    (attribute,) = signer["unsigned_attrs"]
    assert attribute["type"].native == "signature_time_stamp_token"
    assert attribute["values"][0].dump() == build.sequence(build.oid(algorithms.DATA))


def test_a_stamper_may_leave_the_signature_unstamped():
    info = asn1.ContentInfo.load(written(stamp=lambda _: None), strict=True)
    assert info["content"]["signer_infos"][0]["unsigned_attrs"].native is None


def test_a_failing_stamper_fails_the_signature_with_its_own_error():
    def stamp(_: bytes) -> bytes:
        raise GatewayError(Reason.STAMPER_UNAVAILABLE, retry=True)

    with pytest.raises(GatewayError) as caught:
        written(stamp=stamp)
    assert caught.value.reason is Reason.STAMPER_UNAVAILABLE
    assert caught.value.retry


def test_one_private_key_operation_per_signature():
    person = get_pki().signer("rsa-2048")
    calls: list[bytes] = []
    prepared = prepare(SignerProfile(person.certificate, person.chain, S.RSA_PKCS1_SHA256))
    sign(prepared, content=None, digest=bytes(32), at=NOW, raw_sign=lambda octets: calls.append(octets) or b"s" * 256)
    assert calls == [prepared.signed_attributes(bytes(32), NOW)]


def test_a_profile_is_prepared_once():
    person = get_pki().signer("p-256")
    profile = SignerProfile(person.certificate, person.chain, S.ECDSA_SHA256)
    again = SignerProfile(person.certificate, person.chain, S.ECDSA_SHA256)
    assert prepare(profile) is prepare(again)


@pytest.mark.parametrize("algorithm, scheme", [
    ("rsa-2048", S.ECDSA_SHA256), ("p-256", S.RSA_PKCS1_SHA256), ("ed25519", S.ECDSA_SHA256),
    ("p-256", S.ED25519), ("p-384", S.RSA_PSS_SHA384)])
def test_a_key_that_cannot_do_the_scheme_is_refused_when_preparing(algorithm, scheme):
    person = get_pki().signer(algorithm)
    with pytest.raises(GatewayError) as caught:
        prepare(SignerProfile(person.certificate, person.chain, scheme))
    assert caught.value.reason is Reason.KEY_WRONG_PURPOSE


def test_a_digest_of_another_algorithm_is_refused():
    person = get_pki().signer("p-256")
    prepared = prepare(SignerProfile(person.certificate, person.chain, S.ECDSA_SHA256))
    with pytest.raises(GatewayError) as caught:
        sign(prepared, content=None, digest=bytes(48), at=NOW, raw_sign=bytes)
    assert caught.value.reason is Reason.INTERNAL


@pytest.mark.parametrize("scheme, micalg", [(S.RSA_PKCS1_SHA256, "sha-256"), (S.ECDSA_SHA384, "sha-384"),
                                            (S.ED25519, "sha-512")])
def test_micalg_is_spelled_as_rfc_8551_does(scheme, micalg):
    person = get_pki().signer(algorithm_of(scheme))
    assert prepare(SignerProfile(person.certificate, person.chain, scheme)).micalg == micalg


def test_another_content_type_is_version_3_and_speaks_to_no_mail_program():
    """RFC 5652 5.1."""
    person = get_pki().stamper()
    prepared = prepare(SignerProfile(person.certificate, (), S.ECDSA_SHA256, None, algorithms.TST_INFO, enclose=False))
    info = asn1.ContentInfo.load(sign(
        prepared, content=b"\x30\x00", digest=hashlib.sha256(b"\x30\x00").digest(), at=NOW,
        raw_sign=lambda octets: person.sign(S.ECDSA_SHA256, octets)))
    assert info["content"]["version"].native == "v3"
    assert info["content"]["encap_content_info"]["content_type"].native == "tst_info"
    assert info["content"]["certificates"].native is None
    assert "smime_capabilities" not in {a["type"].native for a in info["content"]["signer_infos"][0]["signed_attrs"]}


def test_a_bundle_of_certificates_has_no_signer():
    people = [get_pki().signer("p-256"), get_pki().recipient("x25519")]
    der = signed.certificates_only(tuple(person.certificate for person in people))
    data = asn1.ContentInfo.load(der, strict=True)["content"]
    assert {c.dump() for c in data["certificates"]} == {person.der for person in people}
    assert len(data["signer_infos"]) == 0
