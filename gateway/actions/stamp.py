"""`stamp`: a time-stamp over the signature (RFC 3161, appendix A)."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from gateway.actions.verb import OUTWARD, Params, VerbContext
from gateway.errors import GatewayError, Reason
from gateway.model.changed import changed
from gateway.model.mail import Direction
from gateway.ports.stampers import TimeStamper
from gateway.smime.draft import Draft, Stamping


class StampParams(Params):
    """`by` names a stamper of the settings, or several: the next is asked where one cannot stamp.

    `defer`: no stamp, no mail; the client tries again.
    """

    by: tuple[str, ...] = Field(
        min_length=1, description="stampers of sealgate.yaml; the first that can stamp does"
    )
    if_unavailable: Literal["defer", "send_unstamped"] = "defer"

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list) else value


class Stamp:
    """See the module."""

    name: ClassVar[str] = "stamp"
    rank: ClassVar[int] = 50
    params: ClassVar[type[BaseModel]] = StampParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "time-stamps the signature (RFC 3161)"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """GatewayError STAMPER_UNAVAILABLE if the settings lost a stamper."""
        found: list[TimeStamper] = []
        for name in params.by:
            if name not in context.stampers:
                raise GatewayError(Reason.STAMPER_UNAVAILABLE, f"no stamper {name!r}", retry=True)
            found.append(context.stampers[name])
        optional = params.if_unavailable == "send_unstamped"
        return changed(draft, stamping=Stamping(found[0], optional=optional, others=tuple(found[1:])))
