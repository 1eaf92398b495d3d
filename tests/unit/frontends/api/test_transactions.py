"""A transaction from a file: what is wrong with it is told in words, by its field, and never with what stands in it."""

import json

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.transactions import read_transaction

GOOD = {"amount": "1234.50", "currency": "EUR", "payee": "Stadtwerke Musterstadt", "account": "DE89370400440532013000"}


@pytest.mark.parametrize("change, words", [
    ({"amount": "1234,50"}, 'amount: a decimal with a point, in quotes, such as "1234.50"'),
    ({"amount": 1234.5}, 'amount: a decimal with a point, in quotes, such as "1234.50"'),
    ({"currency": "Euro"}, 'currency: three capitals of ISO 4217, such as "EUR"'),
    ({"payee": ""}, "payee: string should have at least 1 character"),
    ({"paye": "secret"}, "paye: extra inputs are not permitted"),
])
def test_what_is_wrong_is_told_in_words(change: dict[str, object], words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_transaction(json.dumps(GOOD | change).encode())
    assert caught.value.reason is Reason.INPUT_MALFORMED
    assert words in caught.value.detail
    for value in ("1234,50", "1234.5,", "Euro", "secret"):
        assert value not in caught.value.detail


def test_what_is_no_json_is_told_as_such() -> None:
    with pytest.raises(GatewayError) as caught:
        read_transaction(b"amount=1234.50")
    assert caught.value.detail == "no JSON"
