"""Reads a transaction from JSON that did not come by HTTP, with the same form and limits."""

from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.shapes import Batch, Linked, Payment
from gateway.services.codes.transaction import Transaction

_FORMS: Final = {  # of what people write otherwise
    "amount": 'a decimal with a point, in quotes, such as "1234.50"',
    "total": 'a decimal with a point, in quotes, such as "1234.50"',
    "currency": 'three capitals of ISO 4217, such as "EUR"',
}
_SHAPE: Final[TypeAdapter[Payment | Batch]] = TypeAdapter(Linked)


def read_transaction(octets: bytes) -> Transaction:
    """INPUT_MALFORMED names the wrong fields, never their values."""
    try:
        return _SHAPE.validate_json(octets).transaction()
    except ValidationError as wrong:
        problems = {(".".join(map(str, one["loc"][1:])) or "the whole", _words(one))
                for one in wrong.errors(include_input=False, include_url=False, include_context=False)}
        if any(one["type"] == "json_invalid" for one in wrong.errors(include_input=False)):
            raise GatewayError(Reason.INPUT_MALFORMED, "no JSON") from None
        raise GatewayError(Reason.INPUT_MALFORMED, ", ".join(f"{where}: {what}" for where, what in sorted(problems))
                           ) from None


def _words(wrong: ErrorDetails) -> str:
    form = _FORMS.get(str(wrong["loc"][-1])) if wrong["loc"] else None
    if form is not None and wrong["type"] in ("string_pattern_mismatch", "string_type"):
        return form
    return wrong["msg"][:1].lower() + wrong["msg"][1:]
