"""`protect_headers`: the header fields go inside what is signed or encrypted (RFC 9788)."""

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from gateway.actions.verb import OUTWARD, Params, VerbContext
from gateway.model.changed import changed
from gateway.model.mail import Direction
from gateway.smime.draft import Draft, Protect


class ProtectHeadersParams(Params):
    """`outer_subject` is the visible subject of an encrypted mail."""

    outer_subject: str = Field("[...]", min_length=1, max_length=200)


class ProtectHeaders:
    """See the module."""

    name: ClassVar[str] = "protect_headers"
    rank: ClassVar[int] = 30
    params: ClassVar[type[BaseModel]] = ProtectHeadersParams
    directions: ClassVar[frozenset[Direction]] = OUTWARD
    summary: ClassVar[str] = "signs the header fields with the content and hides the subject when encrypting (RFC 9788)"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """Never fails."""
        del context
        return changed(draft, protect=Protect(outer_subject=params.outer_subject))
