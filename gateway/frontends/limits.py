"""Limits that connections share: connections, mails a minute, octets in progress."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

RATE_KEYS_MAX = 10_000
GROW_OCTETS = 262_144


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
        """Serves waiting peers in order, and skips those that have used up their share."""
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
