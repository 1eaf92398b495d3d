"""Limits that hold for all relay workers of one machine: connections, those of one peer, mails a minute, login tries.

Every worker writes how much it has into a slot of its own in one piece of shared memory, and reads those of all
others. There are no locks: two workers that look at the same moment may both take the last place, so a limit can be
passed by as many as there are workers, less one. Peers and clients are identified by a keyed hash of 16 bits; where two
share a place each may be refused what the other uses up in other workers, and never more is let in.

Marks of logins carry a second, longer keyed hash, so that the mark of one key is never taken for another's.

A worker that dies leaves its slot to the supervisor, which clears it.
"""

import mmap
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final

from gateway.frontends.limits import Connections, Rate
from gateway.frontends.login_pauses import NO_MARK, Marks, upper_bound

MEMORY: Final = "SEALGATE_TOGETHER"  # environment of a worker: descriptor and slot, such as 7/0
SLOTS: Final = 128  # 64 workers, and as many old ones that finish their mails
PLACES: Final = 1 << 16
ROLES: Final = ("outbound", "inbound", "outbound strangers", "inbound strangers")  # what counts connections apart

_ALL, _PEER, _BUCKET = struct.Struct("=I"), struct.Struct("=H"), struct.Struct("=dd")
_HEADER: Final = mmap.PAGESIZE  # the hash's key, and how many slots are in use from the first on
_KEY_OCTETS: Final = 16
_ROLE_OCTETS: Final = mmap.PAGESIZE + PLACES * _PEER.size
_TABLE_OCTETS: Final = PLACES * _BUCKET.size
FAILURES, KNOWN = 0, 1  # tables of marks
_SETS: Final = 1 << 13  # of each table of marks
_WAYS: Final = 8  # marks in a set, each with its tag, number and time; before them what the set dropped, with tag 0
_MARK: Final = struct.Struct("=Qdd")
_SET_OCTETS: Final = 256  # of which (1 + _WAYS) * _MARK.size are used
_MARKS_AT: Final = len(ROLES) * _ROLE_OCTETS + _TABLE_OCTETS  # behind the roles and the rates
_SLOT_OCTETS: Final = _MARKS_AT + 2 * _SETS * _SET_OCTETS


class SharedLimits:
    """The memory. `slot` is that of this process; None in the supervisor."""

    def __init__(self, descriptor: int, slot: int | None = None) -> None:
        self.descriptor = descriptor
        self.slot = slot
        self._memory = mmap.mmap(descriptor, _HEADER + SLOTS * _SLOT_OCTETS)
        self._used: set[int] = set()

    @classmethod
    def new(cls) -> "SharedLimits | None":
        """For a supervisor. None where the kernel has no memory without a name: then each worker counts alone."""
        if not hasattr(os, "memfd_create"):
            return None
        descriptor = os.memfd_create("sealgate-together")
        os.ftruncate(descriptor, _HEADER + SLOTS * _SLOT_OCTETS)  # of which only what is written takes memory
        made = cls(descriptor)
        made._memory[:_KEY_OCTETS] = secrets.token_bytes(_KEY_OCTETS)
        return made

    @classmethod
    def inherited(cls) -> "SharedLimits | None":
        """What the supervisor gave to this worker."""
        descriptor, _, slot = os.environ.pop(MEMORY, "").partition("/")
        return cls(int(descriptor), int(slot)) if descriptor else None

    # The supervisor's side

    def take(self) -> int | None:
        """A slot for a worker about to start; None if there is none: it counts alone."""
        slot = next((one for one in range(SLOTS) if one not in self._used), None)
        if slot is not None:
            self._used.add(slot)
            self._tell_used()
        return slot

    def give(self, slot: int) -> None:
        """Its worker is gone."""
        at = _HEADER + slot * _SLOT_OCTETS
        self._memory.madvise(mmap.MADV_REMOVE, at, _SLOT_OCTETS)
        self._used.discard(slot)
        self._tell_used()

    def _tell_used(self) -> None:
        _ALL.pack_into(self._memory, _KEY_OCTETS, max(self._used, default=-1) + 1)

    # The workers' side

    def place(self, name: str) -> int:
        """Where a peer or client counts, the same in all workers."""
        return int.from_bytes(blake2b(name.encode(), digest_size=2, key=self._memory[:_KEY_OCTETS]).digest(), "big")

    def _others(self) -> Iterator[int]:
        (count,) = _ALL.unpack_from(self._memory, _KEY_OCTETS)
        return (_HEADER + slot * _SLOT_OCTETS for slot in range(count) if slot != self.slot)

    @property
    def _own(self) -> int:
        assert self.slot is not None  # noqa: S101 - the supervisor counts nothing
        return _HEADER + self.slot * _SLOT_OCTETS

    def connections(self, role: str, place: int) -> tuple[int, int]:
        """Of all other workers: all, and those of a peer."""
        at = ROLES.index(role) * _ROLE_OCTETS
        everyone = [base + at for base in self._others()]
        peer = mmap.PAGESIZE + place * _PEER.size
        return (sum(_ALL.unpack_from(self._memory, base)[0] for base in everyone),
                sum(_PEER.unpack_from(self._memory, base + peer)[0] for base in everyone))

    def count_connection(self, role: str, count: int, place: int, step: int) -> None:
        """This worker has `count`, one more or less of the peer."""
        at = self._own + ROLES.index(role) * _ROLE_OCTETS
        _ALL.pack_into(self._memory, at, count)
        peer = at + mmap.PAGESIZE + place * _PEER.size
        _PEER.pack_into(self._memory, peer, max(0, min(0xFFFF, _PEER.unpack_from(self._memory, peer)[0] + step)))

    def latest(self, place: int) -> tuple[float, float]:
        """What is left in a bucket as any worker wrote it last, and when; (0.0, 0.0) if none did."""
        at = len(ROLES) * _ROLE_OCTETS + place * _BUCKET.size
        slots = (*self._others(), self._own)
        when, less = max((when, -left) for left, when in (_BUCKET.unpack_from(self._memory, one + at) for one in slots))
        return -less, when

    def write(self, place: int, left: float, when: float) -> None:
        """Writes what is left in a bucket for all workers to see."""
        _BUCKET.pack_into(self._memory, self._own + len(ROLES) * _ROLE_OCTETS + place * _BUCKET.size, left, when)

    def tag(self, name: str) -> tuple[int, int]:
        """The set in which a name has its mark, and the mark's tag, which is never 0; the same in all workers."""
        digest = blake2b(name.encode(), digest_size=16, key=self._memory[:_KEY_OCTETS], person=b"marks").digest()
        return int.from_bytes(digest[8:], "big") % _SETS, int.from_bytes(digest[:8], "big") or 1

    def marks(self, table: int, number: int) -> Iterator[list[tuple[int, float, float]]]:
        """A set of marks as each worker has it, this one's first: tag, number, time; first what it dropped (tag 0)."""
        at = _MARKS_AT + (table * _SETS + number) * _SET_OCTETS
        for base in (self._own, *self._others()):
            end = base + at + (1 + _WAYS) * _MARK.size
            yield list(_MARK.iter_unpack(self._memory[base + at:end]))

    def write_mark(self, table: int, number: int, way: int, mark: tuple[int, float, float]) -> None:
        """Writes one mark into this worker's set; `way` 0: what the set dropped."""
        at = _MARKS_AT + (table * _SETS + number) * _SET_OCTETS + way * _MARK.size
        _MARK.pack_into(self._memory, self._own + at, *mark)


class SharedConnections(Connections):
    """Of one role of listener in all workers."""

    __slots__ = ("_role", "_shared")

    def __init__(self, all_max: int, peer_max: int, shared: SharedLimits, role: str) -> None:
        super().__init__(all_max, peer_max)
        self._shared, self._role = shared, role

    def enter(self, peer: str) -> bool:
        """See Connections."""
        place = self._shared.place(peer)
        everyone, of_peer = self._shared.connections(self._role, place)
        if self._all + everyone >= self.all_max or self._peers[peer] + of_peer >= self.peer_max:
            if not self._peers[peer]:
                del self._peers[peer]
            return False
        if not super().enter(peer):
            return False
        self._shared.count_connection(self._role, self._all, place, 1)
        return True

    def leave(self, peer: str) -> None:
        """See Connections."""
        super().leave(peer)
        self._shared.count_connection(self._role, self._all, self._shared.place(peer), -1)


class SharedRate(Rate):
    """The bucket that counts is the one used last."""

    __slots__ = ("_shared",)

    def __init__(self, per_minute: int, now: Callable[[], float], shared: SharedLimits) -> None:
        super().__init__(per_minute, now)
        self._shared = shared

    def allow(self, key: str) -> bool:
        """See Rate."""
        if not self.per_minute:
            return True
        place = self._shared.place(key)
        left, when = self._shared.latest(place)
        if when:
            self._buckets[key] = (left, when)
        if not super().allow(key):
            return False
        self._shared.write(place, *self._buckets[key])
        return True


class SharedMarks(Marks):
    """What any worker wrote last: a table with sets of _WAYS marks in the slot of each worker.

    A set that is full drops an expired mark, or else its lowest one, which `dropped` keeps account of.
    """

    def __init__(self, keep_s: float, shared: SharedLimits, table: int) -> None:
        """`table`: FAILURES or KNOWN."""
        super().__init__(keep_s)
        self._shared, self._table = shared, table

    def get(self, key: str) -> tuple[float, float]:
        """See Marks."""
        number, tag = self._shared.tag(key)
        found = (mark for marks in self._shared.marks(self._table, number) for mark in marks[1:] if mark[0] == tag)
        _, count, when = max(found, key=lambda mark: mark[2], default=(tag, *NO_MARK))
        return count, when

    def dropped(self, key: str) -> tuple[float, float]:
        """See Marks. A worker that has the key's mark has not dropped it."""
        number, tag = self._shared.tag(key)
        return max(((marks[0][1], marks[0][2]) for marks in self._shared.marks(self._table, number)
                    if all(mark[0] != tag for mark in marks[1:])), default=NO_MARK)

    def put(self, key: str, number: float, when: float) -> None:
        """See Marks."""
        which, tag = self._shared.tag(key)
        marks, since = next(self._shared.marks(self._table, which)), when - self.keep_s
        way = next((way for way, mark in enumerate(marks) if mark[0] == tag), 0)
        if not way:
            live = [(mark[2] >= since, *mark[1:]) for mark in marks[1:]]
            way = 1 + live.index(min(live))
            before, lowest = marks[0][1:], marks[way][1:]
            if lowest[1] >= since:
                self._shared.write_mark(self._table, which, 0, (0, *upper_bound(before, [lowest], since)))
        self._shared.write_mark(self._table, which, way, (tag, number, when))
