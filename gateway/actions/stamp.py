"""`stamp`: a time-stamp over the signature (RFC 3161, appendix A)."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from gateway.actions.verb import OUTWARD, Params, Rooms
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Direction
from gateway.smime.draft import Draft, Stamping


class StampParams(Params):
    """`by` names a stamper of the settings. `defer`: no stamp, no mail; the client tries again."""

    by: str = Field(description="a stamper of sealgate.yaml")
    if_unavailable: Literal["defer", "send_unstamped"] = "defer"


class Stamp:
    """See the module."""

    name: ClassVar[str] = "stamp"
    rank: ClassVar[int] = 50
    params: ClassVar[type[BaseModel]] = StampParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "time-stamps the signature (RFC 3161)"

    def apply(self, draft: Draft, params: Any, rooms: Rooms) -> Draft:
        """GatewayError STAMPER_UNAVAILABLE if the settings lost the stamper."""
        stamper = rooms.stampers.get(params.by)
        if stamper is None:
            raise GatewayError(Reason.STAMPER_UNAVAILABLE, f"no stamper {params.by!r}", retry=True)
        return replace(draft, stamping=Stamping(stamper, optional=params.if_unavailable == "send_unstamped"))
