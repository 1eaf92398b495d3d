"""The only mint of VerifiedSigner and SignedContent: proof values that exist because a verification succeeded.

An operation on orders, acceptances or enrolment takes one of them instead of a certificate or loose octets, and so
cannot get anything unverified. Only this module makes them, both together, from the result of `pki.judge`:
their constructors refuse without this module's key, and they are neither copied with changes nor unpickled.
"""

from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import NoReturn

from gateway.cms.certificate import Certificate
from gateway.cms.signed_reader import SignerInfo
from gateway.model.verdict import Status
from gateway.pki.judge import JudgedSigner


class _Key:
    """Its one instance never leaves this module."""


_KEY = _Key()


def _refuse(minted_by: _Key | None, name: str) -> None:
    if minted_by is not _KEY:
        raise TypeError(f"{name} is minted by pki.identity only, after a verification")


@dataclass(frozen=True, slots=True)
class VerifiedSigner:
    """A person whose signature over the content beside it is valid at `signed_at`, all checks passed.

    `signed_at` is the time at which it was judged (a believed time-stamp, else the reception); `fresh`: at
    reception nothing on its path was revoked, on fresh data. `matches_from`: one of `emails` is the mail's From.
    `info`: what was signed besides the content; `enclosed`: certificates in the message, not verified.
    """

    certificate: Certificate
    emails: tuple[str, ...]
    signed_at: datetime
    stamped: bool
    fresh: bool
    matches_from: bool
    info: SignerInfo = field(repr=False)
    enclosed: tuple[Certificate, ...] = field(repr=False)
    minted_by: InitVar[_Key | None] = field(default=None)

    def __post_init__(self, minted_by: _Key | None) -> None:
        """Refuses everybody else."""
        _refuse(minted_by, "VerifiedSigner")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a VerifiedSigner does not travel")


@dataclass(frozen=True, slots=True)
class SignedContent:
    """Octets with the signers whose signatures cover exactly them, at least one.

    `digest` is their SHA-256; `judged_at` the time of reception.
    """

    octets: bytes = field(repr=False)
    digest: bytes
    signers: tuple[VerifiedSigner, ...]
    judged_at: datetime
    minted_by: InitVar[_Key | None] = field(default=None)

    def __post_init__(self, minted_by: _Key | None) -> None:
        """Refuses everybody else."""
        _refuse(minted_by, "SignedContent")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SignedContent does not travel")


def mint(judged: tuple[JudgedSigner, ...], from_address: str | None, received: datetime) -> SignedContent | None:
    """The proof of one signed layer, or None unless it has signers and every one of them is valid.

    The octets come from what was judged, never from the caller.
    """
    if not judged or any(signer.verdict.status is not Status.VALID for signer in judged):
        return None
    content = judged[0].content
    if any(signer.content is not content for signer in judged):
        return None
    signers = []
    for signer in judged:
        if signer.certificate is None or signer.verdict.judged_at is None or signer.info is None:
            return None
        signers.append(VerifiedSigner(
            signer.certificate, signer.certificate.emails, signer.verdict.judged_at,
            stamped=signer.verdict.timestamp.status is Status.VALID, fresh=signer.fresh,
            matches_from=signer.speaks_for(from_address), info=signer.info, enclosed=signer.enclosed,
            minted_by=_KEY))
    return SignedContent(content.octets, content.digest("sha256"), tuple(signers), received, minted_by=_KEY)
