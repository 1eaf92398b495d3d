"""Limits that connections share: connections, mails a minute, octets in work, tries of passwords."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

RATE_KEYS_MAX = 10_000
GROW_OCTETS = 262_144
PAUSE_OF_SOURCE_S = 300.0
PAUSE_OF_ACCOUNT_S = 60.0
FORGOTTEN_S = 1800.0
KNOWN_S = 86_400.0
FAILURES_FREE = 3.0  # a person mistypes; with the last of them the pauses begin, at one second
FAILURES_MAX = 32.0  # 2 to the power of it is beyond every pause
NO_MARK = (0.0, 0.0)


@dataclass(slots=True)
class Connections:
    """Of one role of listener in one process: all, and of one peer."""

    all_max: int
    peer_max: int
    _peers: Counter[str] = field(default_factory=Counter)
    _all: int = 0

    @property
    def now(self) -> int:
        """How many there are."""
        return self._all

    def enter(self, peer: str) -> bool:
        """Whether one more may come; if so it counts until `leave`."""
        if self._all >= self.all_max or self._peers[peer] >= self.peer_max:
            if not self._peers[peer]:
                del self._peers[peer]
            return False
        self._all += 1
        self._peers[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        """One that had entered is gone."""
        self._all -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]


class Place:
    """One connection that was admitted. Give it back once, by `leave`."""

    def __init__(self, everyone: Connections, strangers: Connections, peer: str, *, known: bool) -> None:
        self._everyone = everyone
        self._strangers = strangers
        self._peer = peer
        self.known = known

    def identified(self) -> None:
        """The peer has shown who it is: the connection no longer counts among those of strangers."""
        if not self.known:
            self.known = True
            self._strangers.leave(client_key(self._peer))

    def leave(self) -> None:
        """The connection is gone."""
        self.identified()
        self._everyone.leave(self._peer)


@dataclass(frozen=True, slots=True)
class Admission:
    """Which connections are admitted: `everyone` counts all, `strangers` those of peers that are not known (yet).

    The difference between the two `all_max` is reserved for peers that are known, by their network for example.
    """

    everyone: Connections
    strangers: Connections

    def enter(self, peer: str, *, known: bool) -> Place | None:
        """A place, or None if there is none left for this peer."""
        if not known and not self.strangers.enter(client_key(peer)):
            return None
        if not self.everyone.enter(peer):
            if not known:
                self.strangers.leave(client_key(peer))
            return None
        return Place(self.everyone, self.strangers, peer, known=known)


def client_key(peer: str) -> str:
    """Who counts as one client: an IPv4 address, or a network of 64 bits, which is what one customer has of IPv6."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


@dataclass(slots=True)
class Rate:
    """A bucket per client that holds `per_minute` mails and refills evenly. 0: no limit."""

    per_minute: int
    now: Callable[[], float]
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def allow(self, key: str) -> bool:
        """Takes one mail out of the bucket of `key`; False if it is empty."""
        if not self.per_minute:
            return True
        at = self.now()
        left = self._left(key, at)
        if left < 1:
            return False
        if len(self._buckets) >= RATE_KEYS_MAX and key not in self._buckets:
            self._forget(at)
        self._buckets[key] = (left - 1, at)
        return True

    def _left(self, key: str, at: float) -> float:
        left, since = self._buckets.get(key, (float(self.per_minute), at))
        return min(float(self.per_minute), left + (at - since) * self.per_minute / 60)

    def _forget(self, at: float) -> None:
        """Drops the full buckets; if that is not enough the oldest half, which errs towards taking mail."""
        kept = {key: value for key, value in self._buckets.items() if self._left(key, at) < self.per_minute}
        if len(kept) >= RATE_KEYS_MAX:
            kept = dict(sorted(kept.items(), key=lambda item: item[1][1])[RATE_KEYS_MAX // 2:])
        self._buckets = kept


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

        Without it, an attacker who fills the table would erase the mark of any key.
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


class Octets:
    """The octets of mails in work, of one role of listener in one process. On the event loop's thread only.

    One peer may have at most half of them, so that no stranger who is slow on purpose stops all others.
    """

    def __init__(self, octets_max: int) -> None:
        self.octets_max = octets_max
        self.used = 0
        self._peers: Counter[str] = Counter()
        self._waiting: list[tuple[int, str, asyncio.Future[None]]] = []

    def _free(self, octets: int, own: int = 0) -> bool:
        return self.used <= own or self.used + octets <= self.octets_max

    def _within_share(self, octets: int, peer: str, own: int = 0) -> bool:
        return self._peers[peer] <= own or self._peers[peer] + octets <= self.octets_max // 2

    def try_take(self, octets: int, peer: str = "", own: int = 0) -> bool:
        """Takes them if they are free. One mail alone, which has `own` already, may always be in work."""
        if not self._free(octets, own) or not self._within_share(octets, peer, own):
            return False
        self.used += octets
        self._peers[peer] += octets
        return True

    async def take(self, octets: int, timeout_s: float, peer: str = "") -> bool:
        """Takes them, waiting in line for at most `timeout_s`."""
        if not self._waiting and self.try_take(octets, peer):
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (octets, peer, turn)
        self._waiting.append(entry)
        self._next()
        try:
            await asyncio.wait_for(asyncio.shield(turn), timeout_s)
        except TimeoutError:
            if turn.done():
                return True
            self._waiting.remove(entry)
            return False
        except asyncio.CancelledError:
            if turn.done():
                self.give(octets, peer)
            else:
                self._waiting.remove(entry)
            raise
        return True

    def give(self, octets: int, peer: str = "") -> None:
        """They are free again."""
        self.used -= octets
        self._peers[peer] -= octets
        if not self._peers[peer]:
            del self._peers[peer]
        self._next()

    def _next(self) -> None:
        """Who waits is served in order; whoever has used up his share is passed over."""
        for entry in tuple(self._waiting):
            octets, peer, turn = entry
            if not self._free(octets):
                return
            if self.try_take(octets, peer):
                self._waiting.remove(entry)
                turn.set_result(None)


class Reservation:
    """What one mail has taken of the octets; `release` as often as you like."""

    def __init__(self, octets: Octets, taken: int, peer: str = "") -> None:
        self._octets = octets
        self._taken = taken
        self._peer = peer

    def cover(self, octets: int) -> bool:
        """Whether the mail may be of this size; takes more in steps, without waiting."""
        if octets <= self._taken:
            return True
        more = max(GROW_OCTETS, octets - self._taken)
        if not self._octets.try_take(more, self._peer, self._taken):
            return False
        self._taken += more
        return True

    def release(self) -> None:
        """Gives all back."""
        taken, self._taken = self._taken, 0
        if taken:
            self._octets.give(taken, self._peer)
