"""Codes out of what they are good for.

Truth of the vectors: a shell script of `od`, `printf` and `openssl dgst -sha256 -mac HMAC -macopt hexkey:…` that was
written from the words of gateway/services/codes/derive.py, not from its code; the last step (modulo) by hand. The live
test asks openssl again. Properties by hypothesis.
"""

import subprocess
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.codes.derive import CodeKeys, Linked, canonical, derived, digest
from gateway.services.codes.transaction import Batch, Money, Payee, Payment
from tests.support.peers import need

SECRET = bytes(range(32))
KEYS = CodeKeys.of(SECRET)
LOGIN = Linked("5f0c2b7a90de4f1c2b7a90de", bytes(range(16)), "10001", "login", 6, None)
PAYMENT = replace(LOGIN, purpose="payment", digits=8, transaction=Payment(
    Money.of("1234.50", "EUR"), Payee.of("Stadtwerke Köln", "DE89 3704 0044 0532 0130 00")))
BATCH = replace(LOGIN, purpose="payment", digits=10, transaction=Batch.of(
    Money.of("100000", "JPY"), [Payee.of("B", "de03"), Payee.of("A", "DE02")]))
AMOUNTS = replace(LOGIN, purpose="payment", digits=8, transaction=Batch.of(
    Money.of("3.00", "EUR"),
    [Payee.of("B", "de03", Money.of("1", "EUR")), Payee.of("A", "DE02", Money.of("2", "EUR"))]))

_HEAD = ("0000000f7365616c6761746520636f64652031 00000018356630633262376139306465346631633262376139306465"
         "00000010000102030405060708090a0b0c0d0e0f 000000053130303031")
_PAYMENT_WORD = "000000077061796d656e74"
VECTORS = {
    "login": (LOGIN, _HEAD + " 000000056c6f67696e 0000000136 000000046e6f6e65",
              "de5ac36c8d1a1c3baefc5ec2301607e337ac444f9e30f69439ff42267481bb13", "515446"),
    "payment": (PAYMENT, _HEAD + _PAYMENT_WORD + " 0000000138" + _PAYMENT_WORD + " 00000006313233343530"
                "00000003455552 0000001053746164747765726b65204bc3b66c6e"
                "0000001644453839333730343030343430353332303133303030",
                "9015a1a7b45b4e9f11bb9d78750febce5c405bebe0945a92958fee88d640d67f", "32573303"),
    "batch": (BATCH, _HEAD + _PAYMENT_WORD + " 000000023130 000000056261746368 00000006313030303030"
              "000000034a5059 0000000141 0000000444453032 0000000142 0000000444453033",
              "3b339637798955d1facce38793b36bedd9535a924172707683c6741513ef3562", "2909793880"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str) -> None:
    linked, form, fingerprint, code = VECTORS[name]
    assert canonical(linked) == bytes.fromhex(form)
    assert digest(KEYS, linked).hex() == fingerprint
    assert derived(KEYS, linked) == code


@pytest.mark.parametrize("linked", [PAYMENT, AMOUNTS], ids=["payment", "amounts"])
def test_openssl_makes_the_same_code(linked: Linked) -> None:
    need("openssl", "openssl")

    def mac(key: bytes, octets: bytes) -> bytes:
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"],
            input=octets, capture_output=True, check=True)
        return done.stdout

    number = int.from_bytes(mac(mac(SECRET, b"one-time code"), canonical(linked)), "big")
    assert f"{number % 10**8:08d}" == derived(KEYS, linked)
    assert mac(mac(SECRET, b"transaction"), canonical(linked)) == digest(KEYS, linked)


def test_the_form_of_a_batch_with_amounts() -> None:
    assert canonical(AMOUNTS) == bytes.fromhex(
        _HEAD + _PAYMENT_WORD + " 0000000138 00000007616d6f756e7473 00000003333030 00000003455552"
        " 0000000141 0000000444453032 00000003323030 0000000142 0000000444453033 00000003313030")


@pytest.mark.parametrize("change", [
    {"code_id": "5f0c2b7a90de4f1c2b7a90df"}, {"nonce": bytes(16)}, {"customer": "10002"}, {"purpose": "login"},
    {"digits": 9}, {"transaction": None},
    {"transaction": Payment(Money.of("1234.51", "EUR"), PAYMENT.transaction.payee)},
    {"transaction": Payment(Money.of("1234.50", "USD"), PAYMENT.transaction.payee)},
    {"transaction": Payment(PAYMENT.transaction.amount, Payee.of("Stadtwerke Koln", "DE89370400440532013000"))},
    {"transaction": Payment(PAYMENT.transaction.amount, Payee.of("Stadtwerke Köln", "DE89370400440532013001"))},
    {"transaction": Batch.of(PAYMENT.transaction.amount, [PAYMENT.transaction.payee])},
])
def test_whatever_changes_makes_another_code(change) -> None:
    other = replace(PAYMENT, **change)
    assert digest(KEYS, other) != digest(KEYS, PAYMENT)
    assert derived(KEYS, other) != derived(KEYS, PAYMENT)


def test_another_secret_makes_another_code_and_another_digest() -> None:
    other = CodeKeys.of(SECRET[:-1] + b"x")
    assert derived(other, PAYMENT) != derived(KEYS, PAYMENT)
    assert digest(other, PAYMENT) != digest(KEYS, PAYMENT)
    assert KEYS.code != KEYS.digest
    assert KEYS.code.hex() not in repr(KEYS)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
PAYEES = st.builds(Payee, WORDS, WORDS)
MONEY = st.builds(Money, st.integers(1, 10**15 - 1), st.sampled_from(["EUR", "JPY", "KWD"]), st.just(2))
TRANSACTIONS = st.none() | st.builds(Payment, MONEY, PAYEES) | st.builds(
    Batch.of, MONEY, st.lists(PAYEES, min_size=1, max_size=4))
LINKED = st.builds(Linked, st.text("0123456789abcdef", min_size=24, max_size=24), st.binary(min_size=16, max_size=16),
                   WORDS, WORDS, st.integers(6, 10), TRANSACTIONS)


@given(LINKED, LINKED)
def test_two_orders_have_one_form_only_if_they_are_one(one: Linked, other: Linked) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


@given(LINKED)
def test_a_code_has_its_digits_and_nothing_else(linked: Linked) -> None:
    code = derived(KEYS, linked)
    assert len(code) == linked.digits
    assert code.isascii()
    assert code.isdigit()


def test_first_digits_are_alike_often() -> None:
    """Not a proof of anything, but a modulo of a short number, or a nought that is cut off, shows here.

    Of 20,000 codes each first digit has 2,000, with a deviation of 42; five of those are allowed.
    """
    seen = Counter(derived(KEYS, replace(LOGIN, nonce=number.to_bytes(16, "big")))[0] for number in range(20_000))
    assert sorted(seen) == list("0123456789")
    assert all(abs(count - 2_000) < 5 * 42.5 for count in seen.values()), seen
