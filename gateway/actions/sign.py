"""`sign`: the bank's signature, and who may have it."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from gateway.actions.verb import OUTWARD, KeySet, Params, VerbContext
from gateway.errors import GatewayError, Reason
from gateway.model.changed import changed
from gateway.model.mail import Direction
from gateway.model.mailbox import permitted_from, same_mailbox
from gateway.smime.draft import Draft, Signer


class SignParams(Params):
    """`with` names a key set of the settings, or several: the first that may sign for the mail's From does.

    `opaque` survives relays that re-wrap bodies.
    """

    with_: tuple[str, ...] = Field(
        alias="with", min_length=1, description="key sets of sealgate.yaml; the first that fits the From signs"
    )
    form: Literal["detached", "opaque"] = "detached"

    @field_validator("with_", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list) else value


class Sign:
    """See the module."""

    name: ClassVar[str] = "sign"
    rank: ClassVar[int] = 40
    params: ClassVar[type[BaseModel]] = SignParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "signs with a key set of the bank (multipart/signed, or opaque)"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """GatewayError KEY_NOT_PERMITTED or FROM_NOT_IN_CERTIFICATE if this mail may not bear this signature.

        The limits apply here as well as in the rules, so that no wrong rule signs for a stranger.
        """
        if not context.client_is_ours:
            raise GatewayError(Reason.KEY_NOT_PERMITTED, "a stranger never gets the bank's signature")
        if not context.sender_is_ours:  # a bounce has no sender, a forwarded mail another one
            raise GatewayError(Reason.KEY_NOT_PERMITTED, "the envelope sender is null or foreign")
        if context.from_ is None:
            raise GatewayError(Reason.FROM_AMBIGUOUS, "a signed mail needs exactly one From mailbox")
        troubles = []
        for name in params.with_:
            key_set = context.key_sets.get(name)
            signer = None if key_set is None else key_set.signer_at(context.at)
            trouble = _unfit(name, key_set, signer, context.client, context.from_)
            if trouble is None and signer is not None:
                detached = params.form == "detached"
                return changed(
                    draft, signer=signer if signer.detached == detached else changed(signer, detached=detached))
            if trouble is not None:
                troubles.append(trouble)
        # Of several the one that came nearest says most: a certificate without the address, before a key for others.
        raise min(troubles, key=lambda trouble: trouble.reason is not Reason.FROM_NOT_IN_CERTIFICATE)


def _unfit(
    name: str, key_set: KeySet | None, signer: Signer | None, client: str | None, from_: str
) -> GatewayError | None:
    """Why this key set may not sign; None if it may."""
    if key_set is None or signer is None:
        return GatewayError(Reason.KEY_UNAVAILABLE, f"no key set {name!r}", retry=True)
    if client not in key_set.clients:
        return GatewayError(Reason.KEY_NOT_PERMITTED, f"client {client!r} may not use key set {name!r}")
    if not permitted_from(key_set.from_addresses, from_):
        return GatewayError(Reason.KEY_NOT_PERMITTED, f"key set {name!r} is not for From {from_}")
    if not any(same_mailbox(email, from_) for email in signer.certificate.emails):
        return GatewayError(Reason.FROM_NOT_IN_CERTIFICATE, f"the certificate of {name!r} does not name {from_}")
    return None
