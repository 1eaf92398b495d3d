"""NIST PKITS through our own path building and validation. Truth: NIST, "Public Key Interoperability Test Suite
(PKITS) Certification Path Validation", version 1.0.1: the expected result of each test of sections 4.1 to 4.13 and
4.16.

What NIST expects to fail by revocation (4.4, 4.14, 4.15, parts of 4.5 and 4.7) is a good path here: revocation is
judged apart, and tested with the same suite in its own file. Two things are refused before any path is looked at,
see REFUSED_UNREAD; DSA is refused by the table of algorithms, which is lifted here so that the path is judged.
"""

import subprocess
from datetime import UTC, datetime

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.verdict import Status
from gateway.pki.path import validation as path
from gateway.pki.path.rfc5280 import ANY, ANY_POLICY, PolicyInputs, walk
from tests.support.pki import pem
from tests.support.pkits import ROOT, get_pkits

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
P1, P2, P3, P4, P5, P6 = (f"2.16.840.1.101.3.2.1.48.{number}" for number in range(1, 7))
NONE: frozenset[str] = frozenset()

REFUSED_UNREAD = {
    "ValidDSAParameterInheritanceTest5": "4.1.5: a DSA key without its parameters; DSA is on the never-list, and to "
                                         "inherit parameters is a rule for nothing else",
    "InvalidNegativeSerialNumberTest15": "4.4.15: a negative serial number, against RFC 5280 4.1.2.2",
}
# Section 4.x: the name of the end entity's file and the reason we name, None for a path that holds.
PLAIN = {
    "4.1.1": ("ValidCertificatePathTest1", None), "4.1.2": ("InvalidCASignatureTest2", Reason.PATH_SIGNATURE),
    "4.1.3": ("InvalidEESignatureTest3", Reason.PATH_SIGNATURE), "4.1.4": ("ValidDSASignaturesTest4", None),
    "4.1.6": ("InvalidDSASignatureTest6", Reason.PATH_SIGNATURE),
    "4.2.1": ("InvalidCAnotBeforeDateTest1", Reason.PATH_EXPIRED),
    "4.2.2": ("InvalidEEnotBeforeDateTest2", Reason.CERTIFICATE_NOT_YET_VALID),
    "4.2.3": ("Validpre2000UTCnotBeforeDateTest3", None), "4.2.4": ("ValidGeneralizedTimenotBeforeDateTest4", None),
    "4.2.5": ("InvalidCAnotAfterDateTest5", Reason.PATH_EXPIRED),
    "4.2.6": ("InvalidEEnotAfterDateTest6", Reason.CERTIFICATE_EXPIRED),
    "4.2.7": ("Invalidpre2000UTCEEnotAfterDateTest7", Reason.CERTIFICATE_EXPIRED),
    "4.2.8": ("ValidGeneralizedTimenotAfterDateTest8", None),
    "4.3.1": ("InvalidNameChainingTest1", Reason.PATH_ISSUER_MISSING),
    "4.3.2": ("InvalidNameChainingOrderTest2", Reason.PATH_ISSUER_MISSING),
    "4.3.3": ("ValidNameChainingWhitespaceTest3", None), "4.3.4": ("ValidNameChainingWhitespaceTest4", None),
    "4.3.5": ("ValidNameChainingCapitalizationTest5", None), "4.3.6": ("ValidNameUIDsTest6", None),
    "4.3.7": ("ValidRFC3280MandatoryAttributeTypesTest7", None),
    "4.3.8": ("ValidRFC3280OptionalAttributeTypesTest8", None), "4.3.9": ("ValidUTF8StringEncodedNamesTest9", None),
    "4.3.10": ("ValidRolloverfromPrintableStringtoUTF8StringTest10", None),
    "4.3.11": ("ValidUTF8StringCaseInsensitiveMatchTest11", None),
    "4.5.1": ("ValidBasicSelfIssuedOldWithNewTest1", None), "4.5.3": ("ValidBasicSelfIssuedNewWithOldTest3", None),
    "4.5.4": ("ValidBasicSelfIssuedNewWithOldTest4", None), "4.5.6": ("ValidBasicSelfIssuedCRLSigningKeyTest6", None),
    # The key that signs lists is no authority's (basicConstraints absent), and so nobody's issuer.
    "4.5.8": ("InvalidBasicSelfIssuedCRLSigningKeyTest8", Reason.PATH_ISSUER_MISSING),
    "4.6.1": ("InvalidMissingbasicConstraintsTest1", Reason.PATH_ISSUER_MISSING),
    "4.6.2": ("InvalidcAFalseTest2", Reason.PATH_ISSUER_MISSING),
    "4.6.3": ("InvalidcAFalseTest3", Reason.PATH_ISSUER_MISSING),
    "4.6.4": ("ValidbasicConstraintsNotCriticalTest4", None),
    **{f"4.6.{number}": (f"InvalidpathLenConstraintTest{number}", Reason.PATH_CONSTRAINT)
       for number in (5, 6, 9, 10, 11, 12)},
    **{f"4.6.{number}": (f"ValidpathLenConstraintTest{number}", None) for number in (7, 8, 13, 14)},
    "4.6.15": ("ValidSelfIssuedpathLenConstraintTest15", None),
    "4.6.16": ("InvalidSelfIssuedpathLenConstraintTest16", Reason.PATH_CONSTRAINT),
    "4.6.17": ("ValidSelfIssuedpathLenConstraintTest17", None),
    "4.7.1": ("InvalidkeyUsageCriticalkeyCertSignFalseTest1", Reason.PATH_CONSTRAINT),
    "4.7.2": ("InvalidkeyUsageNotCriticalkeyCertSignFalseTest2", Reason.PATH_CONSTRAINT),
    "4.7.3": ("ValidkeyUsageNotCriticalTest3", None),
    "4.10.7": ("InvalidMappingFromanyPolicyTest7", Reason.PATH_CONSTRAINT),
    "4.10.8": ("InvalidMappingToanyPolicyTest8", Reason.PATH_CONSTRAINT),
    "4.12.7": ("ValidSelfIssuedinhibitAnyPolicyTest7", None),
    "4.12.8": ("InvalidSelfIssuedinhibitAnyPolicyTest8", Reason.PATH_POLICY),
    "4.12.9": ("ValidSelfIssuedinhibitAnyPolicyTest9", None),
    "4.12.10": ("InvalidSelfIssuedinhibitAnyPolicyTest10", Reason.PATH_POLICY),
    **{f"4.13.{number}": (f"ValidDNnameConstraintsTest{number}", None) for number in (1, 4, 5, 6, 11, 14, 18, 19)},
    **{f"4.13.{number}": (f"InvalidDNnameConstraintsTest{number}", Reason.PATH_CONSTRAINT)
       for number in (2, 3, 7, 8, 9, 10, 12, 13, 15, 16, 17, 20)},
    **{f"4.13.{number}": (f"ValidRFC822nameConstraintsTest{number}", None) for number in (21, 23, 25)},
    **{f"4.13.{number}": (f"InvalidRFC822nameConstraintsTest{number}", Reason.PATH_CONSTRAINT)
       for number in (22, 24, 26)},
    "4.13.27": ("ValidDNandRFC822nameConstraintsTest27", None),
    "4.13.28": ("InvalidDNandRFC822nameConstraintsTest28", Reason.PATH_CONSTRAINT),
    "4.13.29": ("InvalidDNandRFC822nameConstraintsTest29", Reason.PATH_CONSTRAINT),
    "4.13.30": ("ValidDNSnameConstraintsTest30", None),
    "4.13.31": ("InvalidDNSnameConstraintsTest31", Reason.PATH_CONSTRAINT),
    "4.13.32": ("ValidDNSnameConstraintsTest32", None),
    "4.13.33": ("InvalidDNSnameConstraintsTest33", Reason.PATH_CONSTRAINT),
    "4.13.34": ("ValidURInameConstraintsTest34", None),
    "4.13.35": ("InvalidURInameConstraintsTest35", Reason.PATH_CONSTRAINT),
    "4.13.36": ("ValidURInameConstraintsTest36", None),
    "4.13.37": ("InvalidURInameConstraintsTest37", Reason.PATH_CONSTRAINT),
    "4.13.38": ("InvalidDNSnameConstraintsTest38", Reason.PATH_CONSTRAINT),
    "4.16.1": ("ValidUnknownNotCriticalCertificateExtensionTest1", None),
    "4.16.2": ("InvalidUnknownCriticalCertificateExtensionTest2", Reason.PATH_CONSTRAINT),
}


def wants(*policies: str, explicit: bool = False, map_: bool = True, any_: bool = True) -> PolicyInputs:
    """NIST's settings: initial-policy-set, initial-explicit-policy, initial-policy-mapping-inhibit, -any-policy-."""
    return PolicyInputs(frozenset(policies) or None, explicit=explicit, inhibit_mapping=not map_, inhibit_any=not any_)


def only(*policies: str) -> frozenset[str]:
    """The user-constrained policy set of a path that holds."""
    return frozenset(policies)


FAILS = Reason.PATH_POLICY
# Number, end entity, inputs, and the user-constrained policies or the reason.
POLICIES = [
    ("4.8.1.1", "ValidCertificatePathTest1", wants(explicit=True), only(P1)),
    ("4.8.1.2", "ValidCertificatePathTest1", wants(P1, explicit=True), only(P1)),
    ("4.8.1.3", "ValidCertificatePathTest1", wants(P2, explicit=True), FAILS),
    ("4.8.1.4", "ValidCertificatePathTest1", wants(P1, P2, explicit=True), only(P1)),
    ("4.8.2.1", "AllCertificatesNoPoliciesTest2", ANY, NONE),
    ("4.8.2.2", "AllCertificatesNoPoliciesTest2", wants(explicit=True), FAILS),
    ("4.8.3.1", "DifferentPoliciesTest3", ANY, NONE),
    ("4.8.3.2", "DifferentPoliciesTest3", wants(explicit=True), FAILS),
    ("4.8.3.3", "DifferentPoliciesTest3", wants(P1, P2, explicit=True), FAILS),
    ("4.8.4", "DifferentPoliciesTest4", ANY, FAILS),
    ("4.8.5", "DifferentPoliciesTest5", ANY, FAILS),
    ("4.8.6.1", "OverlappingPoliciesTest6", ANY, only(P1)),
    ("4.8.6.2", "OverlappingPoliciesTest6", wants(P1), only(P1)),
    ("4.8.6.3", "OverlappingPoliciesTest6", wants(P2), FAILS),
    ("4.8.7", "DifferentPoliciesTest7", ANY, FAILS),
    ("4.8.8", "DifferentPoliciesTest8", ANY, FAILS),
    ("4.8.9", "DifferentPoliciesTest9", ANY, FAILS),
    ("4.8.10.1", "AllCertificatesSamePoliciesTest10", ANY, only(P1, P2)),
    ("4.8.10.2", "AllCertificatesSamePoliciesTest10", wants(P1), only(P1)),
    ("4.8.10.3", "AllCertificatesSamePoliciesTest10", wants(P2), only(P2)),
    ("4.8.11.1", "AllCertificatesanyPolicyTest11", ANY, only(ANY_POLICY)),
    ("4.8.11.2", "AllCertificatesanyPolicyTest11", wants(P1), only(P1)),
    ("4.8.12", "DifferentPoliciesTest12", ANY, FAILS),
    ("4.8.13.1", "AllCertificatesSamePoliciesTest13", wants(P1), only(P1)),
    ("4.8.13.2", "AllCertificatesSamePoliciesTest13", wants(P2), only(P2)),
    ("4.8.13.3", "AllCertificatesSamePoliciesTest13", wants(P3), only(P3)),
    ("4.8.14.1", "AnyPolicyTest14", wants(P1), only(P1)),
    ("4.8.14.2", "AnyPolicyTest14", wants(P2), FAILS),
    ("4.8.15", "UserNoticeQualifierTest15", ANY, only(P1)),
    ("4.8.16", "UserNoticeQualifierTest16", ANY, only(P1)),
    ("4.8.17", "UserNoticeQualifierTest17", ANY, only(P1)),
    ("4.8.18.1", "UserNoticeQualifierTest18", wants(P1), only(P1)),
    ("4.8.18.2", "UserNoticeQualifierTest18", wants(P2), only(P2)),
    ("4.8.19", "UserNoticeQualifierTest19", ANY, only(P1)),
    ("4.8.20", "CPSPointerQualifierTest20", wants(explicit=True), only(P1)),
    ("4.9.1", "ValidrequireExplicitPolicyTest1", ANY, NONE),
    ("4.9.2", "ValidrequireExplicitPolicyTest2", ANY, NONE),
    ("4.9.3", "InvalidrequireExplicitPolicyTest3", ANY, FAILS),
    ("4.9.4", "ValidrequireExplicitPolicyTest4", ANY, only(P1)),
    ("4.9.5", "InvalidrequireExplicitPolicyTest5", ANY, FAILS),
    ("4.9.6", "ValidSelfIssuedrequireExplicitPolicyTest6", ANY, NONE),
    ("4.9.7", "InvalidSelfIssuedrequireExplicitPolicyTest7", ANY, FAILS),
    ("4.9.8", "InvalidSelfIssuedrequireExplicitPolicyTest8", ANY, FAILS),
    ("4.10.1.1", "ValidPolicyMappingTest1", wants(P1), only(P1)),
    ("4.10.1.2", "ValidPolicyMappingTest1", wants(P2), FAILS),
    ("4.10.1.3", "ValidPolicyMappingTest1", wants(map_=False), FAILS),
    ("4.10.2.1", "InvalidPolicyMappingTest2", ANY, FAILS),
    ("4.10.2.2", "InvalidPolicyMappingTest2", wants(map_=False), FAILS),
    ("4.10.3.1", "ValidPolicyMappingTest3", wants(P1), FAILS),
    ("4.10.3.2", "ValidPolicyMappingTest3", wants(P2), only(P2)),
    ("4.10.4", "InvalidPolicyMappingTest4", ANY, FAILS),
    ("4.10.5.1", "ValidPolicyMappingTest5", wants(P1), only(P1)),
    ("4.10.5.2", "ValidPolicyMappingTest5", wants(P6), FAILS),
    ("4.10.6.1", "ValidPolicyMappingTest6", wants(P1), only(P1)),
    ("4.10.6.2", "ValidPolicyMappingTest6", wants(P6), FAILS),
    ("4.10.9", "ValidPolicyMappingTest9", ANY, only(P1)),
    ("4.10.10", "InvalidPolicyMappingTest10", ANY, FAILS),
    ("4.10.11", "ValidPolicyMappingTest11", ANY, only(P1)),
    ("4.10.12.1", "ValidPolicyMappingTest12", wants(P1), only(P1)),
    ("4.10.12.2", "ValidPolicyMappingTest12", wants(P2), only(P2)),
    ("4.10.13", "ValidPolicyMappingTest13", ANY, only(P1)),
    ("4.10.14", "ValidPolicyMappingTest14", ANY, only(P1)),
    ("4.11.1", "InvalidinhibitPolicyMappingTest1", ANY, FAILS),
    ("4.11.2", "ValidinhibitPolicyMappingTest2", ANY, only(P1)),
    ("4.11.3", "InvalidinhibitPolicyMappingTest3", ANY, FAILS),
    ("4.11.4", "ValidinhibitPolicyMappingTest4", ANY, only(P2)),
    ("4.11.5", "InvalidinhibitPolicyMappingTest5", ANY, FAILS),
    ("4.11.6", "InvalidinhibitPolicyMappingTest6", ANY, FAILS),
    ("4.11.7", "ValidSelfIssuedinhibitPolicyMappingTest7", ANY, only(P1)),
    ("4.11.8", "InvalidSelfIssuedinhibitPolicyMappingTest8", ANY, FAILS),
    ("4.11.9", "InvalidSelfIssuedinhibitPolicyMappingTest9", ANY, FAILS),
    ("4.11.10", "InvalidSelfIssuedinhibitPolicyMappingTest10", ANY, FAILS),
    ("4.11.11", "InvalidSelfIssuedinhibitPolicyMappingTest11", ANY, FAILS),
    ("4.12.1", "InvalidinhibitAnyPolicyTest1", ANY, FAILS),
    ("4.12.2", "ValidinhibitAnyPolicyTest2", ANY, only(P1)),
    ("4.12.3.1", "inhibitAnyPolicyTest3", ANY, only(P1)),
    ("4.12.3.2", "inhibitAnyPolicyTest3", wants(any_=False), FAILS),
    ("4.12.4", "InvalidinhibitAnyPolicyTest4", ANY, FAILS),
    ("4.12.5", "InvalidinhibitAnyPolicyTest5", ANY, FAILS),
    ("4.12.6", "InvalidinhibitAnyPolicyTest6", ANY, FAILS),
]


def judged(name, policies=ANY, *, lifted=True):
    pkits = get_pkits()
    return path.validate(pkits.end_entity(name), AT, "signer", pkits.trust, policies=policies,
                         danger_any_strength_for_test_vectors=lifted)


@pytest.mark.parametrize(("name", "reason"), PLAIN.values(), ids=PLAIN)
def test_paths_as_nist_says(name, reason):
    assert judged(name).reason is reason
    assert judged(name).valid is (reason is None)


@pytest.mark.parametrize(("name", "policies", "expected"), [row[1:] for row in POLICIES], ids=[r[0] for r in POLICIES])
def test_policies_as_nist_says(name, policies, expected):
    found = judged(name, policies)
    if isinstance(expected, Reason):
        assert (found.status, found.reason) == (Status.INVALID, expected)
    else:
        assert found.valid, found.reason
        assert found.policies == expected


def by_revocation_only():
    """The tests that this file leaves to revocation: 4.4, 4.14, 4.15, and four of 4.5 and 4.7."""
    told = {name for name, _ in PLAIN.values()} | {row[1] for row in POLICIES} | set(REFUSED_UNREAD)
    return sorted(file.name.removesuffix("EE.crt") for file in (ROOT / "certs").glob("*EE.crt")
                  if file.name.removesuffix("EE.crt") not in told)


@pytest.mark.parametrize("name", by_revocation_only())
def test_what_only_revocation_refuses_is_a_good_path(name):
    assert any(word in name.lower() for word in (
        "crl", "revoked", "serialnumber", "distributionpoint", "only", "selfissued"))
    assert judged(name).valid


def test_every_end_entity_of_the_suite_is_used():
    assert len(by_revocation_only()) == 70
    assert len(list((ROOT / "certs").glob("*EE.crt"))) == 223


@pytest.mark.parametrize("name", REFUSED_UNREAD)
def test_exceptions_are_refused_by_name(name):
    with pytest.raises(GatewayError) as refused:
        get_pkits().end_entity(name)
    assert refused.value.reason is Reason.CERTIFICATE_MALFORMED


@pytest.mark.parametrize("name", ["ValidDSASignaturesTest4", "InvalidDSASignatureTest6"])
def test_without_lifting_the_table_refuses_dsa_by_name(name):
    assert judged(name, lifted=False).reason is Reason.CERTIFICATE_WEAK_KEY


def test_without_lifting_everything_else_is_judged_alike():
    for name, reason in PLAIN.values():
        if "DSA" not in name:
            assert judged(name, lifted=False).reason is reason


def test_the_answer_does_not_depend_on_the_answers_before():
    """The path library writes anew what it has read, and not the same once it has looked at it (certificates with
    unique identifiers): the second judgement of one and the same path was another one.
    """
    found = judged("ValidNameUIDsTest6")
    assert [walk(found.path, AT) for _ in range(3)] == [found.policies] * 3


@pytest.mark.parametrize("row", [row for row in POLICIES if row[0] in {
    "4.8.1.3", "4.8.6.1", "4.8.14.1", "4.9.3", "4.9.4", "4.10.1.3", "4.10.3.2", "4.12.3.1", "4.12.3.2"}],
    ids=lambda row: row[0])
def test_openssl_agrees(row, tmp_path):
    """An independent checker over the same files, with the same inputs."""
    _, name, policies, expected = row
    pkits = get_pkits()
    for file, ders in (("leaf.pem", [pkits.der(name)]), ("root.pem", [pkits.root.der]),
                       ("chain.pem", pkits.authorities.values())):
        (tmp_path / file).write_bytes(b"".join(map(pem, ders)))
    options = ["-policy_check"]
    for policy in policies.acceptable or ("anyPolicy",):
        options += ["-policy", policy]
    options += ["-explicit_policy"] * policies.explicit + ["-inhibit_map"] * policies.inhibit_mapping
    options += ["-inhibit_any"] * policies.inhibit_any
    asked = subprocess.run(
        ["openssl", "verify", *options, "-attime", str(int(AT.timestamp())), "-CAfile", tmp_path / "root.pem",
         "-untrusted", tmp_path / "chain.pem", tmp_path / "leaf.pem"], capture_output=True, check=False)
    assert (asked.returncode == 0) is not isinstance(expected, Reason), asked.stderr

