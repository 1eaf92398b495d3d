"""`form`: whether the bank's mail server gets the mail opened or as it came."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, model_validator

from gateway.actions.verb import INWARD, Params, VerbContext
from gateway.model.mail import Direction
from gateway.smime.draft import Draft


class FormParams(Params):
    """Written short, `form: opened`, or long, `form: {as: opened}`."""

    as_: Literal["opened", "as_received"]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, str):
            return {"as_": value}
        if isinstance(value, dict) and "as" in value:
            return {"as_": value["as"], **{k: v for k, v in value.items() if k != "as"}}
        return value


class Form:
    """See the module."""

    name: ClassVar[str] = "form"
    rank: ClassVar[int] = 20
    params: ClassVar[type[BaseModel]] = FormParams
    directions: ClassVar[frozenset[Direction]] = INWARD
    summary: ClassVar[str] = "delivers the mail opened (decrypted, signature taken off) or as it was received"

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """Never fails."""
        del context
        return replace(draft, opened=params.as_ == "opened")
