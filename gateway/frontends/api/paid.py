"""A transaction out of JSON, for whoever has it otherwise than by HTTP: the same form, the same limits."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.shapes import Batch, Linked, Payment
from gateway.services.codes.transaction import Transaction

_SHAPE: Final[TypeAdapter[Payment | Batch]] = TypeAdapter(Linked)


def read_transaction(octets: bytes) -> Transaction:
    """INPUT_MALFORMED names the fields that are wrong, never what stands in them."""
    try:
        return _SHAPE.validate_json(octets).transaction()
    except ValidationError as wrong:
        told = {(".".join(map(str, one["loc"][1:])) or "the whole", one["type"])
                for one in wrong.errors(include_input=False, include_url=False, include_context=False)}
        raise GatewayError(Reason.INPUT_MALFORMED, ", ".join(f"{where}: {what}" for where, what in sorted(told))
                           ) from None
