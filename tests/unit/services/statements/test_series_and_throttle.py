"""Which statement is which, and how fast a domain gets its mails. Truth: properties."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.services.statements.series import Series, masked
from gateway.services.statements.throttle import Throttle

SERIES = Series(b"x" * 32)
PARTS = st.tuples(st.text(), st.text(), st.text())


@given(PARTS, PARTS)
def test_two_statements_are_one_only_if_all_parts_are(one, other) -> None:
    assert (SERIES.of(*one) == SERIES.of(*other)) == (one == other)


def test_no_part_runs_into_the_next() -> None:
    assert SERIES.of("1", "23", "4") != SERIES.of("12", "3", "4")
    assert SERIES.of("1", "2", "3") != SERIES.of("1", "2", "3", about="run")


def test_another_secret_knows_other_statements() -> None:
    assert Series(b"y" * 32).of("1", "2", "3") != SERIES.of("1", "2", "3")


@given(st.text(max_size=40))
def test_of_an_account_at_most_four_characters_are_shown(account) -> None:
    shown = masked(account).removeprefix("\N{BULLET}\N{BULLET}")
    bare = account.replace(" ", "")
    assert len(shown) <= min(4, len(bare) // 3)
    assert bare.endswith(shown)


def test_a_domain_gets_no_more_than_its_minute_and_others_do_not_wait() -> None:
    now = 0.0
    throttle = Throttle(60, lambda: now)
    sent = 0
    for step in range(6000):  # a minute in steps of ten milliseconds
        now = step / 100
        sent += throttle.wait_s("a.example") == 0
        if step == 0:
            assert throttle.wait_s("a.example") == 1.0
            assert throttle.wait_s("b.example") == 0
    assert sent == 60


def test_rest_is_not_saved_up() -> None:
    now = 0.0
    throttle = Throttle(60, lambda: now)
    assert throttle.wait_s("a.example") == 0
    now = 1000.0
    assert [throttle.wait_s("a.example") for _ in range(3)] == [0, 0, 1.0]


def test_without_a_limit_nobody_waits() -> None:
    throttle = Throttle(0)
    assert {throttle.wait_s("a.example") for _ in range(1000)} == {0.0}
