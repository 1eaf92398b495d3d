"""NIST's Public Key Interoperability Test Suite, the sections on revocation: 4.4, 4.5, 4.14 and 4.15.

Certificates and lists are NIST's (PKITS 1.0.1, csrc.nist.gov), as the package cryptography_vectors brings them; the
name of each end entity's certificate says whether its path must validate. There is no exception.
All of NIST's authorities and all of its lists are in one pool: what belongs to what is for the code to find.
"""

from functools import cache
from pathlib import Path

import cryptography_vectors
import pytest

from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.verdict import Status
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.from_files import GivenFile, GivenRevocation
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet, anchors_of
from tests.support.pki import NOW

PKITS = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"

# Beginnings of the names of the end entities of one section.
SECTIONS = {
    "4.4": ("MissingCRL", "RevokedCA", "RevokedEE", "BadCRL", "WrongCRL", "TwoCRLs", "UnknownCRL", "OldCRL",
            "pre2000CRL", "GeneralizedTimeCRL", "NegativeSerial", "LongSerial", "SeparateCertificate"),
    "4.5": ("BasicSelfIssued",),
    "4.14": ("distributionPoint", "NoissuingDistributionPoint", "onlyContains", "onlySomeReasons", "IDPwithindirect",
             "cRLIssuer"),
    "4.15": ("deltaCRL",),
}

def end_entities():
    for section, beginnings in SECTIONS.items():
        for path in sorted((PKITS / "certs").glob("*EE.crt")):
            name = path.stem.removeprefix("Invalid").removeprefix("Valid")
            if name.startswith(beginnings):
                yield pytest.param(path.stem, id=f"{section}-{path.stem}")


@cache
def context():
    """Trust set and table over the whole suite."""
    known = []
    for path in sorted((PKITS / "certs").glob("*.crt")):
        if not path.stem.endswith("EE"):
            try:
                known.append(parse_certificate(path.read_bytes()))
            except GatewayError:
                assert path.stem == "DSAParametersInheritedCACert", path.stem
    roots = [parse_certificate((PKITS / "certs" / "TrustAnchorRootCertificate.crt").read_bytes())]
    trust = TrustSet(signers=anchors_of(roots), intermediates=tuple(known))
    files = [GivenFile(path.stem, "crl", path.read_bytes()) for path in sorted((PKITS / "crls").glob("*.crl"))]
    return trust, GivenRevocation(files, trust)


def judged(name):
    trust, table = context()
    try:
        certificate = parse_certificate((PKITS / "certs" / f"{name}.crt").read_bytes())
    except GatewayError as error:
        return Status.INVALID, error.reason
    found = believe(certificate, NOW, NOW, "signer", trust, Revocation("require", table))
    return (found.path.status, found.path.reason) if found.path.reason else (found.revoked.status, found.revoked.reason)


@pytest.mark.parametrize("name", list(end_entities()))
def test_as_nist_says(name):
    status, reason = judged(name)
    assert (status is Status.VALID) == name.startswith("Valid"), reason


def test_it_is_the_whole_of_these_sections():
    """4.4 has 21 tests, 4.5 has 8, 4.14 has 35 and 4.15 has 10 (PKITS 1.0.1)."""
    assert len(list(end_entities())) == 21 + 8 + 35 + 10


@pytest.mark.parametrize(("name", "reason"), [
    ("InvalidMissingCRLTest1EE", Reason.REVOCATION_UNAVAILABLE), ("InvalidRevokedCATest2EE", Reason.PATH_REVOKED),
    ("InvalidRevokedEETest3EE", Reason.CERTIFICATE_REVOKED),
    ("InvalidBadCRLSignatureTest4EE", Reason.REVOCATION_UNAVAILABLE),
    ("InvalidOldCRLnextUpdateTest11EE", Reason.REVOCATION_UNAVAILABLE),
    ("InvaliddeltaCRLTest6EE", Reason.CERTIFICATE_REVOKED),
    ("InvalidonlySomeReasonsTest15EE", Reason.CERTIFICATE_REVOKED),
    ("InvalidonlySomeReasonsTest16EE", Reason.CERTIFICATE_ON_HOLD),
    ("InvalidonlySomeReasonsTest17EE", Reason.REVOCATION_UNAVAILABLE)])
def test_for_the_reason_that_nist_gives(name, reason):
    assert judged(name)[1] is reason
