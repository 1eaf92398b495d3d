"""Revocation lists read and authenticated. Lists come from `cryptography`'s builder (gateway.authority.crl) or, where

that refuses to build what is wrong, from DER put together here; expectations are RFC 5280 5 and 6.3.
"""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.authority import ca
from gateway.authority.ca import Naming, Profile, Purpose
from gateway.authority.crl import IssuingPoint, RevokedEntry, build_crl
from gateway.cms import algorithms
from gateway.cms.certificate import parse_certificate
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.crl import read_head, read_list
from gateway.pki.revocation.entries import WIDTH, authority_id, count, find, serial_key
from gateway.pki.revocation.scope import parse_scope
from tests.support.pki import END, NOW, START, get_pki, key, raw_sign
from tests.support.sealed import anna, trust_of

DAY = timedelta(days=1)
PKI = get_pki()
ISSUER = parse_certificate(PKI.intermediate.der)
TRUST = trust_of(PKI)
SHA256_ECDSA = algorithms.identifier("1.2.840.10045.4.3.2")


def crl(*entries, number=1, issuer=None, this_update=NOW - DAY, next_update=NOW + DAY, **options):
    return build_crl(issuer or PKI.intermediate, entries, number, this_update, next_update, **options)


def read(der, *, issuer=None, certificates=(), at=NOW, data=None, trust=TRUST):
    return read_list(der, issuer or ISSUER, certificates, trust, at, data)


def refused(der, **options):
    with pytest.raises(GatewayError) as caught:
        read(der, **options)
    return caught.value


def entry(der, serial, **options):
    return find(read(der, **options).records, serial_key(serial))


# --- by hand: what no builder makes -----------------------------------------------------------------------------------


VERSION_2 = build.integer(1)
YESTERDAY, TOMORROW = build.utc_time(NOW - DAY), build.utc_time(NOW + DAY)


def tbs(*, entries=b"", extensions=b"", version=VERSION_2, algorithm=SHA256_ECDSA, issuer=None, this=YESTERDAY,
        until=TOMORROW):
    return build.sequence(version, algorithm, issuer or ISSUER.subject_der, this, until, entries, extensions)


def signed(octets, *, outer=SHA256_ECDSA, private=None):
    from gateway.model.scheme import SignScheme

    signature = raw_sign(private or PKI.intermediate.key, SignScheme.ECDSA_SHA256, octets)
    return build.sequence(octets, outer, build.bit_string(signature))


def extension(oid, value, *, critical=False):
    return build.sequence(build.oid(oid), build.boolean(True) if critical else b"", build.octet_string(value))


def extensions(*each):
    return build.context(0, build.sequence(*each))


def revoked(serial, at=NOW - DAY, *more):
    number = serial if isinstance(serial, bytes) else build.integer(serial)
    return build.sequence(number, build.utc_time(at), build.sequence(*more) if more else b"")


# --- what a list says -------------------------------------------------------------------------------------------------


def test_head_and_entries():
    new = read(crl(RevokedEntry(7, NOW - 3 * DAY, "superseded"), RevokedEntry(5, NOW - 2 * DAY), number=12))
    assert (new.authority, new.scope, new.kind) == (authority_id(ISSUER), "", "full")
    assert (new.number, new.base_number) == (12, None)
    assert (new.this_update, new.next_update, new.covers_since) == (NOW - DAY, NOW + DAY, NOW - DAY)
    assert count(new.records) == 2
    assert find(new.records, serial_key(7)) == (NOW - 3 * DAY, 4, False)
    assert find(new.records, serial_key(5)) == (NOW - 2 * DAY, 255, False)
    assert find(new.records, serial_key(6)) is None


def test_an_empty_list():
    assert read(crl()).records == b""


def test_pem():
    from tests.support.pki import pem

    assert count(read(pem(crl(RevokedEntry(7, NOW - DAY)), "X509 CRL")).records) == 1


@pytest.mark.parametrize(("reason", "counts_from"), [
    ("keyCompromise", NOW - 9 * DAY), ("cACompromise", NOW - 9 * DAY), ("aACompromise", NOW - 9 * DAY),
    ("superseded", NOW - DAY), (None, NOW - DAY), ("certificateHold", NOW - DAY)])
def test_with_a_lost_key_it_counts_from_the_day_of_the_loss(reason, counts_from):
    """invalidityDate (RFC 5280 5.3.2) beside a compromise; beside other reasons it is history."""
    assert entry(crl(RevokedEntry(7, NOW - DAY, reason, NOW - 9 * DAY)), 7).at == counts_from


def test_an_invalidity_after_the_revocation_does_not_put_it_off():
    assert entry(crl(RevokedEntry(7, NOW - 9 * DAY, "keyCompromise", NOW - DAY)), 7).at == NOW - 9 * DAY


def test_a_serial_number_that_comes_twice_counts_as_the_worse_of_both():
    for order in (1, -1):
        der = signed(tbs(entries=build.sequence(*[
            revoked(7, NOW - DAY), revoked(7, NOW - 5 * DAY, extension("2.5.29.21", build.enumerated(6)))][::order])))
        assert entry(der, 7) == (NOW - DAY, 255, False)
        assert len(read(der).records) == WIDTH


@pytest.mark.parametrize("serial", [0, -1, 1, 127, 128, 2**159 - 1, 2**160, 2**400, -2**300])
def test_any_serial_number_is_found_again_and_no_other(serial):
    der = signed(tbs(entries=build.sequence(revoked(serial))))
    assert entry(der, serial) is not None
    assert entry(der, serial + 1) is None


def test_delta():
    new = read(crl(RevokedEntry(7, NOW - DAY, "removeFromCRL"), number=13, base=10))
    assert (new.kind, new.number, new.base_number) == ("delta", 13, 10)
    assert find(new.records, serial_key(7)).reason == 8


def test_what_it_says_of_expired_certificates():
    since = NOW - 900 * DAY
    der = crl(extensions=[(x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.60"), build.generalized_time(since)), False)])
    assert read(der).covers_since == since


@pytest.mark.parametrize(("point", "scope"), [
    (IssuingPoint(users_only=True), "users"), (IssuingPoint(authorities_only=True), "authorities"),
    (IssuingPoint(attributes_only=True), "attributes"),
    (IssuingPoint(reasons=frozenset({x509.ReasonFlags.key_compromise, x509.ReasonFlags.superseded})), "reasons=1,4")])
def test_scope(point, scope):
    read_scope = read(crl(point=point)).scope
    assert read_scope == scope
    assert parse_scope(read_scope).text == scope


def test_the_scope_of_one_distribution_point_is_the_certificates_that_name_it():
    url = "http://crl.example/1"
    scope = parse_scope(read(crl(point=IssuingPoint((url,)))).scope)

    def named(*urls):
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(one)], None, None, None) for one in urls]
        return anna(extensions=((x509.CRLDistributionPoints(points), False),) if urls else ()).certificate

    assert scope.covers(named(url)) == frozenset(range(1, 9))
    assert scope.covers(named("http://crl.example/2", url))
    assert not scope.covers(named("http://crl.example/2"))
    assert not scope.covers(named())


# --- who speaks -------------------------------------------------------------------------------------------------------


def authority(name, *, algorithm="p-256", which=50, issuer=None, usage=("crl_sign",), **options):
    private = key(algorithm, which)
    der = ca.issue(issuer or PKI.root, Naming(name, "Test Bank", "DE"), private.public_key(),
                   Profile(frozenset(usage)), START, options.pop("not_after", END), **options)
    return ca.Authority(der, private)


def same_name(which=51, **options):
    """Another key under the intermediate's name."""
    private = key("p-256", which)
    name = ISSUER.x509.subject
    usage = x509.KeyUsage(False, False, False, False, False, options.pop("signs_certificates", False),
                          options.pop("signs_lists", True), False, False)
    issuer = options.pop("issuer", PKI.root)
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer.certificate.subject)
               .public_key(private.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(START).not_valid_after(options.pop("not_after", END))
               .add_extension(usage, critical=True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False))
    from cryptography.hazmat.primitives.serialization import Encoding

    return ca.Authority(builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER), private)


def test_another_key_of_the_same_authority_speaks_for_it():
    """RFC 5280 5.1.1.3, 6.3.3 f: certificates and lists may be signed with different keys, as around a rollover."""
    other = same_name()
    der = crl(RevokedEntry(7, NOW - DAY), issuer=other)
    assert entry(der, 7, certificates=(parse_certificate(other.der),)) is not None
    assert refused(der).reason is Reason.REVOCATION_UNTRUSTED


def self_issued_list(constraint, which):
    """A constrained authority, and a list by a second key that the authority certified under its own name."""
    policy = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), None)])
    owner = ca.create_intermediate(PKI.root, Naming(f"Constrained {which}", "Test Bank", "DE"),
                                   key("p-256", which), START, END, extensions=[(policy, False), *constraint])
    second = key("p-256", which + 1)
    any_policy = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)])
    der = ca.issue(owner, Naming(f"Constrained {which}", "Test Bank", "DE"), second.public_key(),
                   Profile(frozenset({"crl_sign"}), is_ca=True), START, END, extensions=[(any_policy, False)])
    lists = crl(RevokedEntry(7, NOW - DAY), issuer=ca.Authority(der, second))
    return lists, parse_certificate(owner.der), parse_certificate(der)


NAMES = x509.NameConstraints([x509.DirectoryName(x509.Name([x509.NameAttribute(
    x509.NameOID.ORGANIZATION_NAME, "Customers")]))], None)


@pytest.mark.parametrize("constraint", [
    [(NAMES, True)],
    [(x509.InhibitAnyPolicy(0), True), (x509.PolicyConstraints(0, None), True)]], ids=["names", "any policy"])
def test_crl_key_certified_by_its_own_authority_under_constraints(constraint):
    """RFC 5280 4.2.1.10, 6.1.3 (b), (d)(2): constraints on others do not bind a self-issued issuer's certificate."""
    which = 60 + 2 * bool(constraint[1:])
    der, owner, speaker = self_issued_list(constraint, which)
    assert entry(der, 7, issuer=owner, certificates=(speaker,)) is not None


def test_unknown_critical_extension_of_a_self_issued_crl_key():
    der, owner, speaker = self_issued_list([(NAMES, True)], 64)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\5\0")
    private = key("p-256", 65)
    odd = ca.issue(ca.Authority(owner.der, key("p-256", 64)), Naming("Constrained 64", "Test Bank", "DE"),
                   private.public_key(), Profile(frozenset({"crl_sign"}), is_ca=True), START, END,
                   extensions=[(unknown, True)])
    assert refused(der, issuer=owner, certificates=(parse_certificate(odd),)).reason is Reason.REVOCATION_UNTRUSTED
    assert entry(der, 7, issuer=owner, certificates=(speaker,)) is not None


@pytest.mark.parametrize(("other", "detail"), [
    (lambda: same_name(52, signs_lists=False, signs_certificates=True), "may not sign"),
    (lambda: same_name(53, issuer=get_pki("Strangers").root), "no path"),
    (lambda: same_name(54, not_after=NOW - DAY), "no path")])
def test_a_key_under_that_name_that_may_not(other, detail):
    speaker = other()
    error = refused(crl(issuer=speaker), certificates=(parse_certificate(speaker.der),))
    assert error.reason is Reason.REVOCATION_UNTRUSTED
    assert detail in error.detail


def test_an_issuer_without_the_usage_signs_no_list():
    usage = Profile(frozenset({"key_cert_sign"}), is_ca=True)
    private = key("p-256", 55)
    der = ca.issue(PKI.root, Naming("No lists"), private.public_key(), usage, START, END)
    error = refused(crl(issuer=ca.Authority(der, private)), issuer=parse_certificate(der))
    assert error.reason is Reason.REVOCATION_UNTRUSTED


def test_a_list_of_somebody_else():
    error = refused(crl(issuer=get_pki("Strangers").intermediate))
    assert (error.reason, error.detail) == (Reason.REVOCATION_UNTRUSTED, "the list is of another issuer")


def test_altered():
    der = crl(RevokedEntry(7, NOW - DAY))
    place = der.index(build.utc_time(NOW - DAY))
    changed = der[:place + 2] + b"25" + der[place + 4:]
    assert refused(changed).reason is Reason.REVOCATION_ALTERED


def test_a_revoked_speaker_speaks_no_more():
    from gateway.pki.revocation.verdict import Known

    class Table:
        version = "x"

        def known(self, certificate, issuer, at, received):
            return Known("revoked")

    other = same_name(56)
    error = refused(crl(issuer=other), certificates=(parse_certificate(other.der),), data=Table())
    assert "revoked itself" in error.detail


def test_an_indirect_list_says_of_each_issuer_what_is_its_own():
    speaker = authority("List Service", which=57)
    certificates = (parse_certificate(speaker.der),)
    name, other = ISSUER.x509.subject, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another")])
    der = crl(RevokedEntry(1, NOW - DAY), RevokedEntry(2, NOW - DAY, issuer=name), RevokedEntry(3, NOW - DAY),
              RevokedEntry(4, NOW - DAY, issuer=other), RevokedEntry(5, NOW - DAY), issuer=speaker,
              point=IssuingPoint(indirect=True))
    new = read(der, certificates=certificates)
    found = [serial for serial in range(1, 6) if find(new.records, serial_key(serial))]
    assert found == [2, 3]  # RFC 5280 5.3.3: an entry without certificateIssuer is of the one before it
    assert new.scope.startswith("by=")
    scope = parse_scope(new.scope)
    point = x509.DistributionPoint(None, None, None, [x509.DirectoryName(speaker.certificate.subject)])
    assert scope.covers(anna(extensions=((x509.CRLDistributionPoints([point]), False),)).certificate)
    assert not scope.covers(anna().certificate)  # it names nobody else as the issuer of lists
    assert refused(crl(issuer=speaker), certificates=certificates).reason is Reason.REVOCATION_UNTRUSTED  # not indirect


def test_of_another_issuer_in_a_list_that_is_not_indirect():
    error = refused(crl(RevokedEntry(2, NOW - DAY, issuer=ISSUER.x509.subject)))
    assert error.reason is Reason.REVOCATION_MALFORMED


# --- times, algorithms, extensions ------------------------------------------------------------------------------------


def test_a_list_of_tomorrow():
    assert refused(crl(this_update=NOW + timedelta(minutes=6))).reason is Reason.REVOCATION_FUTURE
    assert read(crl(this_update=NOW + timedelta(minutes=4))).records == b""


def test_an_old_list_is_read_for_what_it_knows():
    assert entry(crl(RevokedEntry(7, NOW - 9 * DAY), this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY), 7)


@pytest.mark.parametrize(("oid", "said"), [
    ("1.2.840.113549.1.1.5", "sha1_rsa"), ("1.2.840.113549.1.1.4", "md5_rsa"), ("1.2.840.10045.4.1", "sha1_ecdsa"),
    ("1.2.840.113549.1.1.2", "md2_rsa")])
def test_broken_algorithms_are_refused_by_name(oid, said):
    identifier = algorithms.identifier(oid, build.null() if "113549" in oid else None)
    error = refused(signed(tbs(algorithm=identifier), outer=identifier))
    assert (error.reason, error.detail) == (Reason.REVOCATION_WEAK_ALGORITHM, f"signed with {said}")


@pytest.mark.parametrize(("der", "detail"), [
    (lambda: signed(tbs(extensions=extensions(extension("2.999.1", b"\5\0", critical=True)))), "2.999.1"),
    (lambda: signed(tbs(entries=build.sequence(revoked(7, NOW, extension("2.999.2", b"\5\0", critical=True))))),
     "2.999.2"),
    (lambda: signed(tbs(extensions=extensions(*[extension("2.5.29.20", build.integer(1))] * 2))), "repeated"),
    (lambda: signed(tbs(entries=build.sequence(revoked(7, NOW, *[extension("2.5.29.21", build.enumerated(1))] * 2)))),
     "repeated"),
    (lambda: signed(tbs(entries=build.sequence(revoked(7, NOW, extension("2.5.29.21", build.enumerated(7)))))),
     "reason"),
    (lambda: signed(tbs(), outer=algorithms.identifier("1.2.840.10045.4.3.3")), "two signature algorithms"),
    (lambda: signed(tbs(version=build.integer(2))), "version"),
    (lambda: signed(tbs(version=b"", extensions=extensions())), "version 1"),
    (lambda: signed(tbs(extensions=extensions(extension("2.5.29.20", build.integer(-1))))), "number"),
    (lambda: signed(tbs(extensions=extensions(extension("2.5.29.28", build.sequence(
        b"\x81\1\xff", b"\x82\1\xff"), critical=True)))), "twice"),
    (lambda: signed(tbs(extensions=extensions(extension("2.5.29.28", build.sequence(
        b"\x82\1\xff", b"\x81\1\xff"), critical=True)))), "out of order"),
    (lambda: signed(tbs(this=build.octet_string(b"today"))), "time"),
    (lambda: signed(tbs(entries=build.sequence(build.integer(1)))), "")])
def test_what_nobody_may_write(der, detail):
    error = refused(der())
    assert error.reason is Reason.REVOCATION_MALFORMED
    assert detail in error.detail


def test_unknown_extensions_that_are_not_critical_do_no_harm():
    der = signed(tbs(extensions=extensions(extension("2.999.1", b"\5\0")), entries=build.sequence(
        revoked(7, NOW, extension("2.999.2", b"\5\0"), extension("2.5.29.23", build.oid("1.2.840.10040.2.2"))))))
    assert entry(der, 7) is not None


def test_a_list_of_version_1():
    assert entry(signed(tbs(version=b"", entries=build.sequence(revoked(7)))), 7) is not None


def test_without_next_update():
    assert read(signed(tbs(until=b""))).next_update is None


# --- hostile ----------------------------------------------------------------------------------------------------------


def test_every_truncation_is_malformed():
    der = crl(RevokedEntry(7, NOW - DAY, "keyCompromise", NOW - 2 * DAY), point=IssuingPoint(("http://x.example",)))
    for size in range(len(der)):
        assert refused(der[:size]).reason is Reason.REVOCATION_MALFORMED
    assert refused(der + b"\0").reason is Reason.REVOCATION_MALFORMED


def test_every_changed_octet_is_noticed():
    """Whatever is under the signature; what is not changes nothing."""
    der = crl(RevokedEntry(7, NOW - DAY, "keyCompromise"))
    whole, told = read(der), set()
    for place in range(len(der)):
        changed = der[:place] + bytes((der[place] ^ 1,)) + der[place + 1:]
        try:
            new = read(changed)
        except GatewayError as error:
            told.add(error.reason)
        else:
            assert dataclasses.replace(new, sha256=whole.sha256) == whole
    assert told == {Reason.REVOCATION_MALFORMED, Reason.REVOCATION_ALTERED, Reason.REVOCATION_UNTRUSTED}


@pytest.mark.parametrize("octets", [
    b"", b"\x30", b"\x30\x80\0\0", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x02\x01\x01", b"\x30" * 100_000,
    build.sequence(build.sequence(), build.sequence(), build.bit_string(b"")),
    b"-----BEGIN X509 CRL-----\n!!\n-----END X509 CRL-----\n"])
def test_what_is_no_list(octets):
    assert refused(octets).reason is Reason.REVOCATION_MALFORMED


def test_a_deep_name_and_a_long_identifier_cost_nothing():
    import time

    nested = b""
    for _ in range(5_000):
        nested = build.sequence(nested)
    long_oid = build.tlv(0x06, b"\x88" + b"\x81" * 100_000 + b"\x01")
    started = time.process_time()
    for der in (signed(tbs(issuer=nested)), signed(tbs(extensions=extensions(
            build.sequence(long_oid, build.octet_string(b""))))), signed(tbs(issuer=build.sequence(build.set_of(
                build.sequence(long_oid, build.utf8("x"))))))):
        assert refused(der).reason in {Reason.REVOCATION_MALFORMED, Reason.REVOCATION_UNTRUSTED}
    assert time.process_time() - started < 0.5


def test_more_extensions_than_anybody_has():
    der = signed(tbs(extensions=extensions(*[extension(f"2.999.{n}", b"\5\0") for n in range(40)])))
    assert refused(der).reason is Reason.REVOCATION_MALFORMED


def test_a_serial_number_without_end():
    assert refused(signed(tbs(entries=build.sequence(revoked(2**8000))))).reason is Reason.REVOCATION_MALFORMED


def test_a_list_of_many_entries_is_read_in_reasonable_time():
    """50,000 entries in under two seconds of CPU, on the slowest machine; measured: 0.15 s."""
    import time

    entries = b"".join(revoked(2**120 + n * 7919, NOW - DAY, extension("2.5.29.21", build.enumerated(n % 6)))
                       for n in range(50_000))
    der = signed(tbs(entries=build.sequence(entries)))
    started = time.process_time()
    new = read(der)
    assert time.process_time() - started < 2
    assert count(new.records) == 50_000
    assert find(new.records, serial_key(2**120 + 49_999 * 7919)).reason == 49_999 % 6


def test_the_head_alone_is_read_without_its_entries():
    head = read_head(crl(number=3, extensions=[(x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.999.7"), b"\5\0"), False)]))
    assert (head.number, head.issuer, head.indirect) == (3, ISSUER.subject_der, False)
    assert head.this_update == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_certificate_of_another_purpose_signs_no_lists():
    person = PKI.person(Purpose.SIGN, "p-256", email="x@bank.example")
    der = signed(tbs(), private=person.key)
    assert refused(der, certificates=(person.certificate,)).reason is Reason.REVOCATION_ALTERED
