"""Slows down the guessing of passwords: a pause before each further login of a source or an account that failed."""

from collections.abc import Callable, Iterable

from gateway.frontends.limits import RATE_KEYS_MAX

PAUSE_OF_SOURCE_S = 300.0
PAUSE_OF_ACCOUNT_S = 60.0
FORGOTTEN_S = 1800.0
KNOWN_S = 86_400.0
FAILURES_FREE = 3.0  # a person mistypes; with the last of them the pauses begin, at one second
FAILURES_MAX = 32.0  # 2 to the power of it is beyond every pause
NO_MARK = (0.0, 0.0)


class Marks:
    """A number and its time for each key, kept for `keep_s` seconds after that time.

    A full table drops expired marks, then those with the lowest numbers, and keeps an upper bound of these: `dropped`.
    """

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self._marks: dict[str, tuple[float, float]] = {}
        self._dropped = NO_MARK

    def get(self, key: str) -> tuple[float, float]:
        """Number and time of this key's own mark; NO_MARK if there is none."""
        return self._marks.get(key, NO_MARK)

    def dropped(self, key: str) -> tuple[float, float]:
        """An upper bound of the mark that the table may have dropped for lack of space; NO_MARK if it dropped none.

        Without it, a stranger who fills the table would erase the mark of any key.
        """
        return NO_MARK if key in self._marks else self._dropped

    def put(self, key: str, number: float, when: float) -> None:
        """Replaces the mark of this key."""
        if key not in self._marks and len(self._marks) >= RATE_KEYS_MAX:
            self._make_space(when)
        self._marks[key] = (number, when)

    def _make_space(self, now: float) -> None:
        """Drops expired marks, and the lower half of the others if those are too many still."""
        live = sorted(((key, mark) for key, mark in self._marks.items() if now - mark[1] <= self.keep_s),
                      key=lambda item: item[1])
        half = len(live) // 2 if len(live) >= RATE_KEYS_MAX else 0
        if half:
            self._dropped = upper_bound(self._dropped, (mark for _, mark in live[:half]), now - self.keep_s)
        self._marks = dict(live[half:])


def upper_bound(before: tuple[float, float], dropped: Iterable[tuple[float, float]],
                since: float) -> tuple[float, float]:
    """An upper bound, in number and in time, of `before` and all that is `dropped`; `before` counts from `since` on."""
    numbers, times = zip(*((before,) if before[1] >= since else ()), *dropped, strict=True)
    return max(numbers), max(times)


class LoginPauses:
    """How long the next try of a password has to wait: a pause that doubles with each failure up to a limit.

    Pauses are kept for each source (`client_key`) and for each account. A source in the networks of the account's own
    client has none, nor has one that has logged in to this account within KNOWN_S: guesses of strangers must not
    keep it out. Failures are forgotten after FORGOTTEN_S without another one.

    Only a correct password writes to `known`. Only wrong passwords write to `failures`: when that table is full, a
    source or account without a mark counts as the highest mark that was dropped. So noise never ends a pause; in
    excess it delays addresses that have neither logged in lately nor are in a client's own networks.
    """

    def __init__(self, failures: Marks, known: Marks, now: Callable[[], float]) -> None:
        """`failures` keeps its marks for FORGOTTEN_S, `known` for KNOWN_S; `now`: seconds, the same in all workers."""
        self._marks, self._known = failures, known
        self._now = now

    def wait_s(self, source: str, account: str) -> float:
        """Seconds until a password may be tried again; 0.0: now."""
        now = self._now()
        known, when = self._known.get(f"{account} {source}")
        if known and now - when < KNOWN_S:
            return 0.0
        pauses = ((f"source {source}", PAUSE_OF_SOURCE_S), (f"account {account}", PAUSE_OF_ACCOUNT_S))
        return max(self._left(key, longest_s, now) for key, longest_s in pauses)

    def _left(self, key: str, longest_s: float, now: float) -> float:
        failures, when = self._failures(key, now)
        if failures < FAILURES_FREE:
            return 0.0
        return max(0.0, when + min(longest_s, float(2.0 ** (failures - FAILURES_FREE))) - now)

    def _failures(self, key: str, now: float) -> tuple[float, float]:
        return max(NO_MARK if now - when > FORGOTTEN_S else (failures, when)
                   for failures, when in (self._marks.get(key), self._marks.dropped(key)))

    def failed(self, source: str, account: str) -> None:
        """The password was wrong."""
        now = self._now()
        for key in (f"source {source}", f"account {account}"):
            self._marks.put(key, min(self._failures(key, now)[0] + 1, FAILURES_MAX), now)

    def succeeded(self, source: str, account: str) -> None:
        """The password was right."""
        self._known.put(f"{account} {source}", 1.0, self._now())
