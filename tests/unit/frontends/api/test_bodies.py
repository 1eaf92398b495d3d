"""Bodies of requests: whatever octets come, a value within its limits or a problem that quotes nothing.

Truth: RFC 8259 and RFC 6901; the standard library's own reader for what is JSON at all.
"""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.frontends.api.bodies import Body, parse
from gateway.frontends.api.run_shapes import RunOrder
from gateway.frontends.api.shapes import CodeOrder, Verification, amounts
from gateway.frontends.http.problems import ProblemError
from gateway.services.codes import transaction as linked

PAYMENT = {"amount": "12.50", "currency": "EUR", "payee": "Ann Bolt", "account": "DE02 1203 0000 0000 2020 51"}
ORDER = {"customer": "10001", "purpose": "payment", "transaction": PAYMENT}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=12)


def read(value: object, model: Any = CodeOrder) -> Body[Any]:
    return parse(json.dumps(value).encode(), model)


def errors(octets: bytes, model: Any = CodeOrder) -> list[tuple[str, str]]:
    with pytest.raises(ProblemError) as caught:
        parse(octets, model)
    problem = caught.value.problem
    assert problem.status == 400
    told = problem.more["errors"]
    assert isinstance(told, list)
    return [(one["pointer"], one["detail"]) for one in told]


@pytest.mark.parametrize("model", [CodeOrder, Verification, RunOrder])
@given(octets=st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_a_value_or_a_problem(model: Any, octets: bytes) -> None:
    try:
        parse(octets, model)
    except ProblemError as error:
        told = json.loads(error.problem.octets("incident"))
    else:
        return
    assert told["status"] == 400


@given(place=st.sampled_from(["customer", "purpose", "transaction", "digits", "life_s", "language", "reference"]),
       value=anything)
@settings(max_examples=300, deadline=None)
def test_a_wrong_field_is_told_by_its_place_and_never_quoted(place: str, value: Any) -> None:
    secret = "geheim-4711-"
    body = ORDER | {place: [value, secret] if isinstance(value, list | dict) else f"{secret}\u00e4{value}"}
    told = errors(json.dumps(body).encode())
    assert all(pointer.startswith(f"/{place}") or not pointer for pointer, _ in told)
    assert not any(secret in detail for _, detail in told)


@given(st.permutations(list(ORDER)), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_one_order_in_another_spelling_has_the_same_octets(names: list[str], indent: Any, ascii_only: bool) -> None:
    spelled = json.dumps({name: ORDER[name] for name in names}, indent=indent, ensure_ascii=ascii_only)
    assert parse(spelled.encode(), CodeOrder).canonical == read(ORDER).canonical


@given(anything, anything)
def test_other_json_has_other_octets(one: Any, other: Any) -> None:
    def canonical(value: Any) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    same = json.loads(json.dumps(one)) == json.loads(json.dumps(other)) and type(one) is type(other)
    if canonical(one) == canonical(other):
        assert same or one == other


@pytest.mark.parametrize("octets", [
    b'{"customer": "1", "customer": "2", "purpose": "p"}',
    b'{"customer": "1", "purpose": "p", "transaction": {"amount": "1", "amount": "2"}}',
    b'{"customer": Infinity}', b'{"customer": -NaN}', b"\xef\xbb\xbf{}", b'{"a": 1,}', b"{'a': 1}", b"{} {}",
    b'{"customer": "1", "purpose": "p", "reference": "\\udfff"}', b"[" * 200_000, b'{"a":' * 200_000, b"9" * 100_000])
def test_what_others_may_read_otherwise_is_no_json_here(octets: bytes) -> None:
    assert [pointer for pointer, _ in errors(octets)] == [""]


def test_nul_is_none_and_a_backslash_before_u_is_one() -> None:
    assert [pointer for pointer, _ in errors(b'{"customer": "1\\u0000", "purpose": "p"}')] == [""]
    assert read({"customer": "1\\u0000", "purpose": "p"}).value.customer == "1\\u0000"


def test_a_whole_number_with_a_point_is_whole() -> None:
    assert read(ORDER | {"digits": 8.0}).value.digits == 8
    assert read(ORDER | {"digits": 8.0}).canonical == read(ORDER | {"digits": 8}).canonical
    assert errors(json.dumps(ORDER | {"digits": 8.5}).encode())[0][0] == "/digits"


@pytest.mark.parametrize("field, inside, outside", [
    ("digits", [6, 10, None], [5, 11, 0, -1, True]), ("life_s", [30, 3600, None], [29, 3601, 0]),
    ("purpose", ["a", "a" * 32, "0-"], ["", "a" * 33, "-a", "A", "a b", "a\n"]),
    ("reference", ["", "x" * 64, "a b"], ["x" * 65, "\u00e4", "a\n"]),
    ("customer", ["1", "x" * 64], ["", "x" * 65, "a b"]),
    ("language", ["de", "de-AT", None], ["d", "DE", "de_AT", "de\n"])])
def test_the_limit_one_below_and_one_above(field: str, inside: list[object], outside: list[object]) -> None:
    for value in inside:
        assert getattr(read(ORDER | {field: value}).value, field) == value
    for value in outside:
        assert errors(json.dumps(ORDER | {field: value}).encode())[0][0] == f"/{field}", value


@pytest.mark.parametrize("digits, good, bad", [
    (0, ["1", "999999999999999"], ["0", "1.0", "1000000000000000", "01"]),
    (2, ["0.01", "0.1", "0.10", "1", "1.5", "9999999999999.99"],
     ["0", "0.0", "0.00", "1.", ".5", "1.005", "10000000000000", "01.00", "-1", "+1", "1e3", "1,5", "\u0661"]),
    (3, ["0.001", "1.234"], ["0.000", "1.2345"]), (4, ["0.0001", "0.1"], ["0.0000", "0.00001"])])
def test_amounts_by_their_digits(digits: int, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert re.fullmatch(amounts(digits), text), text
    for text in bad:
        assert not re.fullmatch(amounts(digits), text), text


@given(st.sampled_from(linked.currencies()), st.from_regex(r"\A[0-9]{1,16}(\.[0-9]{1,6})?\Z"))
@settings(max_examples=400)
def test_what_the_schema_takes_the_service_takes(currency: str, amount: str) -> None:
    if re.fullmatch(amounts(linked.minor_digits(currency)), amount):
        money = linked.Money.of(amount, currency)
        assert money.minor > 0
        return
    body = {"customer": "1", "purpose": "p", "transaction": PAYMENT | {"amount": amount, "currency": currency}}
    with pytest.raises((GatewayError, ProblemError)) as caught:
        read(body).value.order()
    assert amount not in str(caught.value)


def test_nothing_of_a_request_stands_in_its_representation() -> None:
    value = read(ORDER).value
    for text in (repr(value), str(value.transaction), f"{value.transaction}"):
        assert "10001" not in text
        assert "Ann" not in text
