"""For `schemathesis run`: what JSON Schema cannot say of the bodies. Names and accounts are printable, and not empty
without their blanks; the service refuses others with 400. Before it is sent each such character becomes an `x`.
"""

import unicodedata
from typing import Any

import schemathesis

_NAMES = ("name", "payee", "account")


def printable(value: Any, name: str = "") -> Any:
    """The same body, in which schema and service mean the same by these texts."""
    if isinstance(value, dict):
        return {key: printable(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [printable(one, name) for one in value]
    if not isinstance(value, str) or name not in _NAMES or not value:
        return value
    text = "".join(one if one.isprintable() and unicodedata.normalize("NFC", one) == one else "x" for one in value)
    return text if text.strip() else "x" * len(value)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Of each request."""
    del context, kwargs
    if isinstance(case.body, dict) and isinstance(case.body.get("transaction"), dict):
        case.body = {**case.body, "transaction": printable(case.body["transaction"])}
