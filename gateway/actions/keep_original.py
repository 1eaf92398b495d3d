"""`keep_original`: the mail as received travels inside the opened one, for those who must prove it later."""

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel

from gateway.actions.verb import INWARD, Params, VerbContext
from gateway.model.mail import Direction
from gateway.smime.draft import Draft


class KeepOriginalParams(Params):
    """No parameters."""


class KeepOriginal:
    """See the module."""

    name: ClassVar[str] = "keep_original"
    rank: ClassVar[int] = 25
    params: ClassVar[type[BaseModel]] = KeepOriginalParams
    directions: ClassVar[frozenset[Direction]] = INWARD
    summary: ClassVar[str] = "attaches the mail as received to the opened one"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """Never fails."""
        del params, context
        return replace(draft, keep_original=True)
