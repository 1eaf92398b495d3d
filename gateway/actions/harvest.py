"""`harvest`: the certificate that a verified sender names is kept for answers. Done after the mail was delivered."""

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel

from gateway.actions.verb import INWARD, Params, VerbContext
from gateway.model.mail import Direction
from gateway.smime.draft import Draft


class HarvestParams(Params):
    """No parameters."""


class Harvest:
    """See the module; the rules of what is kept are in `pki.harvest` and `pipeline.inbound.harvest`."""

    name: ClassVar[str] = "harvest"
    rank: ClassVar[int] = 27
    params: ClassVar[type[BaseModel]] = HarvestParams
    directions: ClassVar[frozenset[Direction]] = INWARD
    summary: ClassVar[str] = (
        "keeps the certificate that a verified, surely unrevoked sender names, as merely found; "
        "never beside a bound one")

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """Never fails."""
        del params, context
        return replace(draft, harvest=True)
