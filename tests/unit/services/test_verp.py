"""Return addresses: read back by their writer alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.verp import Verp

VERP = Verp("codes", "codes@bank.example", b"s" * 32)
IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=32)


@given(IDS)
def test_it_reads_what_it_wrote_in_any_case(identifier: str) -> None:
    address = VERP.address(identifier)
    assert len(address.rpartition("@")[0]) <= 64
    assert VERP.read(address) == VERP.read(address.upper()) == identifier


@given(IDS, IDS)
def test_an_id_with_another_ones_mac_is_nobodys(one: str, other: str) -> None:
    mac = VERP.address(one).partition("@")[0].rpartition(".")[2]
    assert (VERP.read(f"codes+{other}.{mac}@bank.example") == other) is (one == other)


@pytest.mark.parametrize("address", [
    "", "codes@bank.example", "codes+@bank.example", "codes+7.@bank.example", "codes+7.aaaaaaaaaaaaaaaa@bank.example",
    "other+7.aaaaaaaaaaaaaaaa@bank.example", "codes+ü.aaaaaaaaaaaaaaaa@bank.example", "codes+7.é@bank.example",
    "codes+7.\udcff@bank.example"])
def test_what_nobody_wrote_is_nobodys(address: str) -> None:
    assert VERP.read(address) is None


def test_services_and_secrets_are_apart() -> None:
    address = VERP.address("7")
    assert Verp("statements", "codes@bank.example", b"s" * 32).read(address) is None
    assert Verp("codes", "codes@bank.example", b"t" * 32).read(address) is None


@pytest.mark.parametrize("identifier", ["", "A", "a.b", "a+b", "ü", "a" * 33])
def test_ids_that_would_not_come_back_are_refused(identifier: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        VERP.address(identifier)


@given(IDS)
def test_an_answer_names_the_mail_but_cannot_bounce_it(identifier: str) -> None:
    message_id = VERP.message_id(identifier)
    assert VERP.read_message_id(f"<{message_id}>") == VERP.read_message_id(message_id.upper()) == identifier
    assert len(message_id) <= 32 + 17 + len("@bank.example")
    mac = message_id.partition("@")[0].rpartition(".")[2]
    assert VERP.read(f"codes+{identifier}.{mac}@bank.example") is None
    assert Verp("statements", "codes@bank.example", b"s" * 32).read_message_id(message_id) is None


@pytest.mark.parametrize("message_id", ["", "<>", "7@bank.example", "7.@bank.example",
                                        "7.aaaaaaaaaaaaaaaa@bank.example",
                                        "7.\udcff@bank.example", "a b.aaaaaaaaaaaaaaaa@bank.example"])
def test_what_nobody_wrote_is_no_mail_of_ours(message_id: str) -> None:
    assert VERP.read_message_id(message_id) is None
