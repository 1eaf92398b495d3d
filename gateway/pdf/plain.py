"""Values for documents, as JSON that means to a template what it means to the eye.

Statements contain text of strangers (the purpose of a payment). Controls are taken out, and with them what turns
the direction of writing round (Unicode Bidirectional Algorithm, UAX 9 2.1 to 2.3): `+1.00` is never shown as `00.1+`.
"""

import json
import unicodedata
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from gateway.errors import GatewayError, Reason

CHARACTERS_MAX: Final = 8_388_608  # of the JSON: some 40,000 bookings
DEPTH_MAX: Final = 32
INTEGER_MAX: Final = 2**53  # beyond it JSON's readers round: such a number becomes text

_OUT: Final = {
    **dict.fromkeys(range(0x20)), 0x09: " ", 0x0A: "\n", 0x0B: "\n", 0x0C: "\n", 0x0D: None, 0x7F: None,
    **dict.fromkeys(range(0x80, 0xA0)), 0x85: "\n",
    **dict.fromkeys(range(0x202A, 0x202F)), **dict.fromkeys(range(0x2066, 0x206A)),
    0x2028: "\n", 0x2029: "\n", 0xFEFF: None, 0xFFFE: None, 0xFFFF: None,
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def cleaned(text: str) -> str:
    """Without what cannot be seen or turns round what can; letters with their accents in one piece (NFC, UAX 15)."""
    return text if text.isascii() and text.isprintable() else unicodedata.normalize("NFC", text.translate(_OUT))


def of(value: object, depth: int = 0) -> object:
    """The same in what JSON has. TypeError, ValueError: it cannot say it, or it is nested too deeply."""
    if depth > DEPTH_MAX:
        raise ValueError
    if isinstance(value, str):
        return cleaned(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else str(value)
    if isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {cleaned(str(name)): of(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [of(one, depth + 1) for one in value]
    raise TypeError


def text_of(values: Mapping[str, object], template: str) -> str:
    """The JSON. GatewayError(PDF_NOT_MADE | PDF_TOO_LARGE), without the values."""
    try:
        text = json.dumps(of(values), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise GatewayError(Reason.PDF_NOT_MADE, f"{template}: values that JSON cannot say") from None
    if len(text) > CHARACTERS_MAX:
        raise GatewayError(Reason.PDF_TOO_LARGE, f"{template}: more than {CHARACTERS_MAX} characters of values")
    return text
