"""NIST's signed mails (PKITS, section 4, each test as an S/MIME message) through the gateway's own opening.

Truth: NIST's expected results; made by NIST's own tools, so that signatures of a stranger's making are verified, too.
Without revocation, as in test_pkits; the lists' tests are good mails here.
"""

from functools import cache

import pytest

from gateway.errors import Reason
from gateway.model.verdict import Status
from gateway.pki.judge import Judge
from gateway.pki.revocation.verdict import Revocation
from gateway.smime.open import open_mail
from tests.support.pkits import ROOT, get_pkits
from tests.unit.pki.test_pkits import AT, PLAIN, POLICIES, REFUSED_UNREAD

OF_SIGNATURES = {Reason.CERTIFICATE_EXPIRED: Reason.SIGNATURE_EXPIRED,
                 Reason.CERTIFICATE_NOT_YET_VALID: Reason.SIGNATURE_NOT_YET_VALID}
WEAK = {"ValidDSASignaturesTest4", "InvalidDSASignatureTest6"}  # the mail's own signature is SHA-1 with DSA


@cache
def names() -> dict[bytes, str]:
    return {file.read_bytes(): file.name.removesuffix("EE.crt") for file in (ROOT / "certs").glob("*EE.crt")}


def expected(name):
    if name in WEAK:
        return Reason.SIGNATURE_WEAK_ALGORITHM
    for known, reason in PLAIN.values():
        if known == name:
            return OF_SIGNATURES.get(reason, reason)
    for _, known, inputs, result in POLICIES:
        if known == name and inputs.acceptable is None and inputs == type(inputs)():
            return result if isinstance(result, Reason) else None
    return None


@pytest.mark.parametrize("file", sorted((ROOT / "smime").glob("*.eml")), ids=lambda file: file.stem)
def test_a_mail_is_judged_as_nist_says(file):
    octets = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    opened = open_mail(octets, (), Judge(get_pkits().trust, Revocation("none")), AT)
    signature = opened.verdicts.signature
    (signer,) = signature.signers
    if file.stem.removeprefix("Signed") in REFUSED_UNREAD:  # a certificate that the gateway does not even read
        assert (signature.status, signature.reason) == (
            Status.INDETERMINATE, Reason.SIGNATURE_CERTIFICATE_MISSING)
        return
    assert signature.reason is expected(names()[signer.certificate])
    assert (signature.status is Status.VALID) is (signature.reason is None)
    assert signature.covers == "whole"


def test_there_are_as_many_mails_as_tests():
    assert len(list((ROOT / "smime").glob("*.eml"))) == 224
