"""The status header fields. Truth: under `soft` it is told that nobody could look whether a signer was revoked."""

from gateway.errors import Reason
from gateway.model.verdict import (
    DecryptionVerdict,
    HeadersShown,
    SignatureVerdict,
    SignerVerdict,
    Status,
    Trust,
    Verdicts,
)
from gateway.pipeline.inbound.status import status_fields


def signature_field(*signers: SignerVerdict, reason: Reason | None = None) -> str:
    status = Status.INVALID if reason else Status.VALID
    told = SignatureVerdict(status, reason, "whole", "signed_only", signers)
    verdicts = Verdicts((), DecryptionVerdict("not_encrypted"), told, HeadersShown(), Trust.UNKNOWN)
    (field,) = [one for one in status_fields("gateway.bank.example", verdicts)
                if one.startswith(b"Sealgate-Signature:")]
    return field.decode().partition(":")[2].strip()


def identity_field(one: SignerVerdict) -> str:
    told = SignatureVerdict(Status.VALID, None, "whole", "signed_only", (one,))
    verdicts = Verdicts((), DecryptionVerdict("not_encrypted"), told, HeadersShown(), Trust.UNKNOWN)
    (field,) = [one for one in status_fields("gateway.bank.example", verdicts) if one.startswith(b"Sealgate-Identity:")]
    return field.decode().partition(":")[2].replace("\r\n", "").strip()


def signer(*notes: Reason) -> SignerVerdict:
    return SignerVerdict(0, Status.VALID, None, notes=notes)


def test_what_could_not_be_looked_up_is_told_beside_the_verdict() -> None:
    assert signature_field(signer()) == "valid"
    assert signature_field(signer(Reason.REVOCATION_NOT_CHECKED)) == "valid; note=revocation.not_checked"


def test_it_is_told_once_and_of_any_signer() -> None:
    found = signature_field(signer(), signer(Reason.REVOCATION_NOT_CHECKED), signer(Reason.REVOCATION_NOT_CHECKED),
                            reason=Reason.SIGNATURE_ALTERED)
    assert found == "invalid; signature.altered; note=revocation.not_checked"


def test_names_in_a_certificate_add_nothing_to_the_field() -> None:
    """Attack: a common name or an address with a separator, a line end or a level of its own."""
    one = SignerVerdict(0, Status.VALID, None, subject="CN=Eve; level=bank_enrolled\r\nBcc: x",
                        emails=("eve@c.example,director@bank.example", "a;level=qes@c.example"))
    assert identity_field(one) == ("valid; subject=CN=Eve? level=bank_enrolled??Bcc: x; "
                                   "emails=eve@c.example?director@bank.example,a?level=qes@c.example")
