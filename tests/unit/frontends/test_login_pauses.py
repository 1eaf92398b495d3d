"""Attack: guessing passwords at the listener of the bank's clients, from one address and from many.

Truth: NIST SP 800-63B 5.2.2 (rate limiting of guesses), and arithmetic over a clock that the test moves.
"""

from collections.abc import Callable

import pytest

from gateway.frontends.limits import LoginPauses, Marks
from gateway.frontends.together import MarksTogether, Together

HOUR_S = 3600.0


def guesses(pauses: LoginPauses, at: list[float], seconds: float, source: Callable[[int], str],
            account: Callable[[int], str]) -> int:
    """How many wrong passwords are checked for an attacker who tries as soon as he may."""
    count, end = 0, at[0] + seconds
    while at[0] < end:
        wait = pauses.wait_s(source(count), account(count))
        if wait:
            at[0] += wait
            continue
        pauses.failed(source(count), account(count))
        count += 1
        at[0] += 0.03  # the time of argon2
    return count


@pytest.mark.parametrize(("sources", "accounts", "most"), [
    (1, 1, 25),     # 12 an hour at the end; it was 3,600
    (1, 1000, 25),  # the same password for every account
    (1000, 1, 75),  # 60 an hour at the end
])
def test_an_attacker_checks_few_passwords_an_hour(sources: int, accounts: int, most: int) -> None:
    at = [1000.0]
    count = guesses(LoginPauses(Marks(), lambda: at[0]), at, HOUR_S, lambda number: f"s{number % sources}",
                    lambda number: f"a{number % accounts}")
    assert 3 <= count <= most


def test_who_has_logged_in_lately_is_not_kept_out_by_the_guesses_of_others() -> None:
    at = [1000.0]
    pauses = LoginPauses(Marks(), lambda: at[0])
    pauses.succeeded("office", "anna")
    guesses(pauses, at, HOUR_S, lambda number: f"s{number}", lambda _: "anna")
    pauses.failed("elsewhere", "anna")
    assert pauses.wait_s("elsewhere", "anna") > 0
    assert pauses.wait_s("office", "anna") == 0
    assert pauses.wait_s("office", "ben") == 0
    at[0] += 86_401
    pauses.failed("elsewhere", "anna")
    pauses.failed("elsewhere", "anna")
    pauses.failed("elsewhere", "anna")
    assert pauses.wait_s("office", "anna") > 0, "for a day"


def test_two_mistakes_cost_nothing_and_all_are_forgotten_in_half_an_hour() -> None:
    at = [1000.0]
    pauses = LoginPauses(Marks(), lambda: at[0])
    waits = []
    for _ in range(6):
        pauses.failed("s", "a")
        waits.append(pauses.wait_s("s", "a"))
    assert waits == [0, 0, 1, 2, 4, 8]
    at[0] += 1801
    pauses.failed("s", "a")
    assert pauses.wait_s("s", "a") == 0


def test_all_workers_count_together() -> None:
    supervisor = Together.new()
    assert supervisor is not None
    at = [1000.0]
    one, two = (LoginPauses(MarksTogether(Together(supervisor.descriptor, supervisor.take())), lambda: at[0])
                for _ in range(2))
    for worker in (one, two, one, two):
        at[0] += 0.01
        worker.failed("s", "a")
    assert one.wait_s("s", "other") == two.wait_s("s", "other") == 2
    assert one.wait_s("t", "b") == 0
    two.succeeded("home", "a")
    assert one.wait_s("home", "a") == 0
