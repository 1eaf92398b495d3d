"""The description of texts is as strict as the service. Truth: Unicode's categories, by way of the service itself."""

import re
import unicodedata

from gateway.errors import GatewayError
from gateway.frontends.api.shapes import VISIBLE, CodeOrder
from gateway.services.codes.transaction import Payee

BMP = 0x10000


def taken(name: str) -> bool:
    try:
        Payee.of(name, "1")
    except GatewayError:
        return False
    return True


def test_every_character_is_described_as_the_service_takes_it() -> None:
    """In the middle of a text and alone, where it may be a blank.

    Without surrogates, and without characters that Unicode does not have yet.
    """
    pattern, wrong = re.compile(VISIBLE), []
    for number in range(BMP):
        one = chr(number)
        if unicodedata.category(one) in ("Cn", "Cs") or unicodedata.normalize("NFC", one) != one:
            continue
        wrong += [f"{number:04x}" for text in (one, f"x{one}x") if bool(pattern.search(text)) != taken(text)]
    assert wrong == []


def test_the_description_has_it() -> None:
    described = CodeOrder.model_json_schema()["$defs"]
    assert described["Payee"]["properties"]["name"]["pattern"] == VISIBLE
    assert described["Payment"]["properties"]["account"]["pattern"] == VISIBLE
