"""Attack: guessing passwords at the listener of the bank's clients, from one address and from many.

Truth: NIST SP 800-63B 5.2.2 (rate limiting of guesses), and arithmetic over a clock that the test moves.
"""

from collections.abc import Callable

import pytest

from gateway.frontends import limits
from gateway.frontends.login_pauses import FORGOTTEN_S, KNOWN_S, LoginPauses, Marks
from gateway.frontends.shared_limits import FAILURES, KNOWN, SharedLimits, SharedMarks

HOUR_S = 3600.0


def alone(now: Callable[[], float]) -> LoginPauses:
    """In a process that counts alone."""
    return LoginPauses(Marks(FORGOTTEN_S), Marks(KNOWN_S), now)


def shared(supervisor: SharedLimits | None, now: Callable[[], float]) -> LoginPauses:
    """In one more worker."""
    assert supervisor is not None
    memory = SharedLimits(supervisor.descriptor, supervisor.take())
    return LoginPauses(SharedMarks(FORGOTTEN_S, memory, FAILURES), SharedMarks(KNOWN_S, memory, KNOWN), now)


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
    count = guesses(alone(lambda: at[0]), at, HOUR_S, lambda number: f"s{number % sources}",
                    lambda number: f"a{number % accounts}")
    assert 3 <= count <= most


def test_who_has_logged_in_lately_is_not_kept_out_by_the_guesses_of_others() -> None:
    at = [1000.0]
    pauses = alone(lambda: at[0])
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
    pauses = alone(lambda: at[0])
    waits = []
    for _ in range(6):
        pauses.failed("s", "a")
        waits.append(pauses.wait_s("s", "a"))
    assert waits == [0, 0, 1, 2, 4, 8]
    at[0] += 1801
    pauses.failed("s", "a")
    assert pauses.wait_s("s", "a") == 0


def test_all_workers_count_together() -> None:
    supervisor = SharedLimits.new()
    assert supervisor is not None
    at = [1000.0]
    one, two = (shared(supervisor, lambda: at[0]) for _ in range(2))
    for worker in (one, two, one, two):
        at[0] += 0.01
        worker.failed("s", "a")
    assert one.wait_s("s", "other") == two.wait_s("s", "other") == 2
    assert one.wait_s("t", "b") == 0
    two.succeeded("home", "a")
    assert one.wait_s("home", "a") == 0


def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fills soon: 64 marks in a process of its own, 8 sets of 8 in a worker."""
    monkeypatch.setattr(limits, "RATE_KEYS_MAX", 64)
    monkeypatch.setattr("gateway.frontends.shared_limits._SETS", 8)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_guesses_with_random_names_do_not_make_strangers_known(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: many wrong logins with names and sources of their own fill the tables, then an account is guessed."""
    small_tables(monkeypatch)
    at = [1000.0]
    supervisor = SharedLimits.new()
    all_ = [shared(supervisor, lambda: at[0]) for _ in range(workers)] or [alone(lambda: at[0])]
    for number in range(1000):
        at[0] += 0.3
        all_[number % len(all_)].failed(f"stranger{number}", f"name{number}")
    at[0] += 86_000
    for number in range(200):
        for _ in range(3):
            all_[number % len(all_)].failed(f"s{number}", "payroll")
        assert all_[0].wait_s(f"s{number}", "payroll") > 0


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_noise_does_not_end_a_pause(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: full tables never shorten a pause (as in Space-Saving, Metwally et al. 2005)."""
    small_tables(monkeypatch)
    at = [1000.0]
    supervisor = SharedLimits.new()
    all_ = [shared(supervisor, lambda: at[0]) for _ in range(workers)] or [alone(lambda: at[0])]
    for _ in range(4):
        all_[0].failed("s", "payroll")
    for number in range(2000):
        all_[number // 5 % len(all_)].failed(f"other{number // 5}", f"more{number // 5}")
    assert all(one.wait_s("s", "other") >= 2 and one.wait_s("t", "payroll") >= 2 for one in all_)
    for _ in range(20):
        all_[0].failed("s", "payroll")
    for number in range(3000):
        at[0] += 0.01
        all_[number % len(all_)].failed(f"stranger{number % 700}", f"name{number}")
    assert all(one.wait_s("s", "other") >= 300 - 31 for one in all_)
    assert all(one.wait_s("t", "payroll") >= 60 - 31 for one in all_)
    at[0] += 1801
    assert all(one.wait_s("s", "payroll") == 0 for one in all_), "what is dropped is forgotten as well"


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_noise_does_not_keep_out_an_address_that_has_logged_in(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_tables(monkeypatch)
    at = [1000.0]
    supervisor = SharedLimits.new()
    all_ = [shared(supervisor, lambda: at[0]) for _ in range(workers)] or [alone(lambda: at[0])]
    all_[0].succeeded("office", "payroll")
    for number in range(3000):
        all_[number % len(all_)].failed(f"stranger{number}", f"name{number}")
    assert all(one.wait_s("office", "payroll") == 0 for one in all_)


def test_tables_with_space_pause_only_whose_passwords_were_wrong() -> None:
    """3000 wrong logins of strangers in half an hour are no reason to delay others."""
    at = [1000.0]
    pauses = shared(SharedLimits.new(), lambda: at[0])
    for number in range(3000):
        pauses.failed(f"stranger{number}", f"name{number}")
    assert not any(pauses.wait_s(f"customer{number}", f"account{number}") for number in range(1000))
