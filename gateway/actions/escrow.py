"""`escrow`: adds one more reader to the encrypted mail, named in the settings and recorded in the evidence."""

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from gateway.actions.verb import OUTWARD, Params, VerbContext
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate
from gateway.cms.enveloped import encrypt
from gateway.cms.strength import allowed
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Direction
from gateway.smime.draft import Draft


class EscrowParams(Params):
    """`certificate` names an escrow certificate of the settings."""

    certificate: str = Field(description="an escrow certificate of sealgate.yaml; its holder can read these mails")


class Escrow:
    """See the module."""

    name: ClassVar[str] = "escrow"
    rank: ClassVar[int] = 70
    params: ClassVar[type[BaseModel]] = EscrowParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "adds a named escrow certificate to the recipients of the encryption"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """Only where the mail is encrypted anyway.

        GatewayError ESCROW_UNUSABLE (retry) if the settings have no such certificate or it cannot be used: that is the
        bank's fault and not the recipient's, so the mail waits until the bank has renewed it.
        """
        if not draft.encrypt_to:
            return draft
        name = params.certificate
        certificate = context.escrow.get(name)
        reason = Reason.CERTIFICATE_ABSENT if certificate is None else unusable(certificate, context.at)
        if certificate is None or reason is not None:
            raise GatewayError(Reason.ESCROW_UNUSABLE, f"escrow certificate {name!r}: {reason}", retry=True)
        return replace(draft, encrypt_to=(*draft.encrypt_to, certificate),
                       escrow=(*draft.escrow, (name, certificate.sha256)))


def unusable(certificate: Certificate, at: datetime) -> Reason | None:
    """Why a certificate that the settings name cannot be encrypted to at this time; None if it can.

    Validity, the strength of its key, and key usage (RFC 5280 4.2.1.3). The settings replace its path to a root, and
    its holder decides what it is for, so neither its issuer nor extended key usage is judged.
    """
    if at < certificate.not_before:
        return Reason.CERTIFICATE_NOT_YET_VALID
    if at > certificate.not_after:
        return Reason.CERTIFICATE_EXPIRED
    return allowed("key", certificate.key_algorithm, at) or _no_way_to_encrypt(certificate)


@lru_cache(maxsize=64)
def _no_way_to_encrypt(certificate: Certificate) -> Reason | None:
    try:
        encrypt(b"", [certificate], ContentCipher.AES256_CBC)
    except GatewayError as trouble:
        return trouble.reason
    return None
