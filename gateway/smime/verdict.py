"""What everything that was found means: the verdict table, in code.

Layers. The innermost signature speaks for the mail, if no encryption is between it and the payload; signatures
around it are reported, and since the message is the AND over its signers, an invalid one around it makes the whole
invalid. A signature only outside an encryption covers a sealed envelope, not its content: it gives no identity.

Status of one layer: invalid if one signer is (altered, malformed, weak, expired or revoked at t, wrong usage,
constraint, complete path to an unknown root); else indeterminate if one signer is (issuer missing, no anchors,
revocation unavailable where it is required, algorithm unknown); else valid. Without signers it is not signed.

The word for the whole mail:

| signature             | covers | From                                | encryption             | verdict     |
| --------------------- | ------ | ----------------------------------- | ---------------------- | ----------- |
| invalid, in any layer | any    | any                                 | any                    | not_trusted |
| valid                 | any    | of no signer; or differs when outer | any                    | not_trusted |
| valid                 | any    | its display name shows an address   | any                    | not_trusted |
|                       |        | that is of no signer                |                        |             |
| valid                 | whole  | of a signer, or none is claimed     | none, or all around it | trusted     |
| anything else         |        |                                     |                        | unknown     |

A field for readers that occurs twice outside, unprotected, makes `trusted` unknown too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.errors import Reason
from gateway.model.verdict import DecryptionVerdict, SignatureVerdict, SignerVerdict, Status, Trust
from gateway.pki.judge import JudgedSigner
from gateway.smime.layers import Peeled, Signatures

Order = Literal["signed_only", "inside_encryption", "outside_encryption", "both"]


@dataclass(frozen=True, slots=True)
class JudgedLayer:
    """One signed layer with its signers judged."""

    signatures: Signatures
    signers: tuple[JudgedSigner, ...]

    @property
    def status(self) -> Status:
        """The AND over its signers."""
        if self.signatures.fault is Reason.SIGNATURE_CONTENT_MISSING:
            return Status.INDETERMINATE
        if self.signatures.fault is not None:
            return Status.INVALID
        return all_of([signer.verdict.status for signer in self.signers])

    @property
    def reason(self) -> Reason | None:
        """Of the first signer that decides."""
        if self.signatures.fault is not None:
            return self.signatures.fault
        return next((s.verdict.reason for s in self.signers if s.verdict.status is self.status), None)


@dataclass(frozen=True, slots=True)
class FromFacts:
    """Whom the mail claims to be from. `address` None with the `reason` where there is not exactly one mailbox.

    `differs`: the protected From is another than the one outside. `claimed` is False for a CMS object alone,
    which has no header and names no sender. `in_name`: other addresses that the display name shows; many mail
    programs show the name alone.
    """

    address: str | None
    reason: Reason | None = None
    differs: bool = False
    claimed: bool = True
    in_name: tuple[str, ...] = ()


def all_of(statuses: Sequence[Status]) -> Status:
    """AND: one invalid decides, then one indeterminate; without any it is not signed."""
    for status in (Status.INVALID, Status.INDETERMINATE, Status.VALID):
        if status in statuses:
            return status
    return Status.NOT_SIGNED


def speaking(layers: Sequence[JudgedLayer]) -> JudgedLayer | None:
    """The layer whose signers speak for the mail: the innermost around the whole, else the first around a part."""
    whole = [layer for layer in layers if layer.signatures.covers == "whole" and layer.status is not Status.NOT_SIGNED]
    parts = [layer for layer in layers if layer.signatures.covers == "part" and layer.status is not Status.NOT_SIGNED]
    return whole[-1] if whole else parts[0] if parts else None


def signature_verdict(peeled: Peeled, layers: Sequence[JudgedLayer], from_: FromFacts) -> SignatureVerdict:
    """All layers as one answer."""
    main = speaking(layers)
    if main is None:
        return SignatureVerdict(Status.NOT_SIGNED, Reason.SIGNATURE_NOT_SIGNED)
    signers = tuple(_with_from(signer, from_) for layer in layers for signer in layer.signers)
    around = [layer for layer in layers
              if layer is not main and layer.signatures.covers == main.signatures.covers
              and layer.status is not Status.NOT_SIGNED]
    status, reason = main.status, main.reason
    if status is not Status.INVALID:
        for worst in (Status.INVALID, Status.INDETERMINATE):
            worse = next((layer for layer in around if layer.status is worst), None)
            if worse is not None and (status is Status.VALID or worst is Status.INVALID):
                status = worst
                reason = Reason.SIGNATURE_OUTER_INVALID if worst is Status.INVALID else worse.reason
                break
    return SignatureVerdict(status, reason, main.signatures.covers, _order(peeled, layers), signers)


def _with_from(signer: JudgedSigner, from_: FromFacts) -> SignerVerdict:
    if from_.address is None or signer.certificate is None:
        return signer.verdict
    return replace(signer.verdict, matches_from=signer.speaks_for(from_.address))


def _order(peeled: Peeled, layers: Sequence[JudgedLayer]) -> Order:
    depths = [layer.signatures.depth for layer in layers
              if layer.signatures.covers == "whole" and layer.status is not Status.NOT_SIGNED]
    if not peeled.encrypted_at or not depths:
        return "inside_encryption" if peeled.encrypted_at else "signed_only"
    innermost = peeled.encrypted_at[-1]
    inside, outside = any(d > innermost for d in depths), any(d < innermost for d in depths)
    return "both" if inside and outside else "inside_encryption" if inside else "outside_encryption"


def decryption_verdict(peeled: Peeled, layers: Sequence[JudgedLayer]) -> DecryptionVerdict:
    """With what authenticates the plaintext: the cipher itself, or a valid signature inside."""
    if peeled.decryption.status != "decrypted":
        return peeled.decryption
    inside = [layer for layer in layers
              if layer.signatures.covers == "whole" and layer.signatures.depth > peeled.encrypted_at[-1]]
    integrity: Literal["aead", "signed_inside", "none"] = "none"
    if peeled.aead:
        integrity = "aead"
    elif inside and inside[-1].status is Status.VALID:
        integrity = "signed_inside"
    return replace(peeled.decryption, integrity=integrity)


def decide(signature: SignatureVerdict, decryption: DecryptionVerdict, from_: FromFacts, main: JudgedLayer | None,
           fault: Reason | None = None) -> tuple[Trust, tuple[Reason, ...]]:
    """The table above, and every reason against `trusted`, each reason once, the gravest kind first.

    `main`: the layer that speaks; `fault`: why the layers could not be taken off to their end, or why two readers
    could show this mail in two ways.
    """
    matches = main is not None and any(signer.speaks_for(from_.address) for signer in main.signers)
    stranger = signature.status is Status.VALID and from_.address is not None and not matches
    misleads = not all(main is not None and any(signer.speaks_for(shown) for signer in main.signers)
                       for shown in from_.in_name)
    against = [
        signature.reason,
        Reason.SIGNATURE_PART_ONLY if signature.covers == "part" else None,
        Reason.SIGNATURE_OUTSIDE_ENCRYPTION if signature.order == "outside_encryption" else None,
        decryption.reason,
        Reason.DECRYPTION_NOT_AUTHENTICATED if decryption.integrity == "none" else None,
        from_.reason,
        Reason.FROM_OUTER_DIFFERS if from_.differs else None,
        Reason.FROM_MISMATCH if stranger else None,
        Reason.FROM_NAME_MISLEADING if misleads else None,
        fault,
    ]
    why = tuple(dict.fromkeys(reason for reason in against if reason is not None))
    if signature.status is Status.INVALID:
        return Trust.NOT_TRUSTED, why
    if signature.status is Status.VALID and (from_.differs or stranger or misleads):
        return Trust.NOT_TRUSTED, why
    if signature.status is Status.VALID and (matches or not from_.claimed) and not why:
        return Trust.TRUSTED, ()
    return Trust.UNKNOWN, why
