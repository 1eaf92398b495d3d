"""`sign`: the bank's signature, and who may have it."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from gateway.actions.verb import OUTWARD, Params, Rooms
from gateway.errors import GatewayError, Reason
from gateway.model.address import address_matches, same_address
from gateway.model.mail import Direction
from gateway.smime.draft import Draft


class SignParams(Params):
    """`with` names a key set of the settings. `opaque` survives relays that re-wrap bodies."""

    with_: str = Field(alias="with", description="a key set of sealgate.yaml with purpose sign")
    form: Literal["detached", "opaque"] = "detached"


class Sign:
    """See the module."""

    name: ClassVar[str] = "sign"
    rank: ClassVar[int] = 40
    params: ClassVar[type[BaseModel]] = SignParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "signs with a key set of the bank (multipart/signed, or opaque)"

    def apply(self, draft: Draft, params: Any, rooms: Rooms) -> Draft:
        """GatewayError KEY_NOT_PERMITTED or FROM_NOT_IN_CERTIFICATE if this mail may not bear this signature.

        The limits stand here as well as in the rules, so that no rule, however wrong, signs for a stranger.
        """
        key_set = rooms.key_sets.get(params.with_)
        if key_set is None:
            raise GatewayError(Reason.KEY_UNAVAILABLE, f"no key set {params.with_!r}", retry=True)
        if not rooms.client_is_ours or rooms.client not in key_set.clients:
            raise GatewayError(
                Reason.KEY_NOT_PERMITTED, f"client {rooms.client!r} may not use key set {params.with_!r}"
            )
        if not rooms.sender_is_ours:  # a bounce has nobody behind it, a forwarded mail somebody else
            raise GatewayError(Reason.KEY_NOT_PERMITTED, "the envelope sender is null or foreign")
        from_ = rooms.from_
        if from_ is None:
            raise GatewayError(Reason.FROM_AMBIGUOUS, "a signed mail needs exactly one From mailbox")
        if not any(address_matches(pattern, from_) for pattern in key_set.from_addresses):
            raise GatewayError(Reason.KEY_NOT_PERMITTED, f"key set {params.with_!r} is not for From {from_}")
        if not any(same_address(email, from_) for email in key_set.signer.certificate.emails):
            raise GatewayError(
                Reason.FROM_NOT_IN_CERTIFICATE, f"the certificate of {params.with_!r} does not name {from_}"
            )
        return replace(draft, signer=replace(key_set.signer, detached=params.form == "detached"))
