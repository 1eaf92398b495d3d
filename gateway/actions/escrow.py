"""`escrow`: one more reader of the encrypted mail, named in the settings and told in the evidence."""

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from gateway.actions.verb import OUTWARD, Params, Rooms
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

    def apply(self, draft: Draft, params: Any, rooms: Rooms) -> Draft:
        """Only where the mail is encrypted anyway; GatewayError CERTIFICATE_UNAVAILABLE if the settings lost it."""
        if not draft.encrypt_to:
            return draft
        certificate = rooms.escrow.get(params.certificate)
        if certificate is None:
            raise GatewayError(
                Reason.CERTIFICATE_UNAVAILABLE, f"no escrow certificate {params.certificate!r}", retry=True
            )
        return replace(draft, encrypt_to=(*draft.encrypt_to, certificate))
