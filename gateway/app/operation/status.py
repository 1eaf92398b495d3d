"""The state of the gateway in one value: what an administrator looks at first."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gateway import __version__
from gateway.adapters.db.counts import DbNumbers
from gateway.adapters.db.mail_list import DbMailList
from gateway.app.expiry import Ending, ends
from gateway.app.measurements import LazyStore, Watcher
from gateway.app.store import Store, evidence_spool
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError
from gateway.frontends.api.status_shapes import (
    CheckShown,
    DiskShown,
    ExpiryShown,
    NumbersShown,
    StatusShown,
    WaitingShown,
)
from gateway.frontends.http.observed import Check
from gateway.frontends.telemetry import metrics
from gateway.model.outcome import Settled
from gateway.ports.counts import StoreNumbers
from gateway.settings import Settings

SOON_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Disk:
    """Octets of the file system that holds `path`."""

    path: Path
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Status:
    """`hour` and `day`: recipients by outcome; `numbers`: counts of the database; both None if it does not answer.

    `processes`: by kind, how many take mail, and `not_asked`: directories and stampers that processes leave alone
    after failures; both None without the section `metrics` of the settings. `expiring`: within SOON_DAYS, or already.
    `last_backup`: as the audit log says; None: there is none, or the database does not answer.
    """

    at: datetime
    version: str
    hostname: str
    mode: str
    checks: tuple[Check, ...]
    hour: Mapping[Settled, int] | None
    day: Mapping[Settled, int] | None
    numbers: StoreNumbers | None
    processes: Mapping[str, int] | None
    not_asked: tuple[str, ...] | None
    expiring: tuple[Ending, ...]
    disks: tuple[Disk, ...]
    last_backup: datetime | None

    @property
    def good(self) -> bool:
        """Whether mail can be taken."""
        return self.numbers is not None and all(one.state != "failed" for one in self.checks)


def read_status(settings: Settings, clock: Clock | None = None) -> Status:
    """Asks listeners, next hops, database and processes; seconds at most. Raises nothing that one of them causes."""
    clock = clock or SystemClock()
    now, opened = clock.now(), LazyStore(settings, clock)
    try:
        checks = tuple(Watcher(settings, opened, clock).observed.checks())
        store, hour, day, numbers, last_backup = _stored(opened, now)
        living = metrics.of_living(settings)
        return Status(
            now, __version__, settings.bank.hostname, settings.mode, checks,
            hour, day, numbers,
            None if living is None else living.ready, None if living is None else living.not_asked,
            tuple(one for one in ends(settings, store, now) if one.not_after <= now + timedelta(days=SOON_DAYS)),
            tuple(_disks(settings)), last_backup)
    finally:
        opened.close()


def _stored(opened: LazyStore, now: datetime) -> tuple[
        Store | None, Mapping[Settled, int] | None, Mapping[Settled, int] | None, StoreNumbers | None, datetime | None]:
    """The store, what is counted in it, and the last backup.

    All None if it does not answer, also if it stops while it is asked.
    """
    try:
        store = opened()
        mails = DbMailList(store.database)
        return (store, mails.outcomes(now - timedelta(hours=1)), mails.outcomes(now - timedelta(days=1)),
                DbNumbers(store.database).read(now), store.audit.last_done("backup.create"))
    except GatewayError as trouble:
        if trouble.reason.family == "store":
            return None, None, None, None, None
        raise


def status_shown(status: Status) -> StatusShown:
    """For the API."""
    numbers = status.numbers
    return StatusShown(
        at=status.at, good=status.good, version=status.version, hostname=status.hostname, mode=status.mode,
        checks=[CheckShown(name=one.name, state=one.state, detail=one.detail) for one in status.checks],
        hour=None if status.hour is None else dict(status.hour), day=None if status.day is None else dict(status.day),
        numbers=None if numbers is None else NumbersShown(
            held={kind: WaitingShown(mails=one.mails, octets=one.octets, oldest=one.oldest)
                  for kind, one in numbers.held.items()},
            fetch_requests=numbers.fetch_tasks, fetch_failing=numbers.fetch_failing, lists=numbers.lists,
            lists_stale=numbers.lists_stale),
        processes=None if status.processes is None else dict(status.processes),
        not_asked=None if status.not_asked is None else list(status.not_asked),
        expiring=[ExpiryShown(name=one.name, what=one.what, not_after=one.not_after) for one in status.expiring],
        disks=[DiskShown(path=str(one.path), free=one.free, total=one.total) for one in status.disks],
        last_backup=status.last_backup)


def _disks(settings: Settings) -> list[Disk]:
    """Each file system once."""
    found: dict[int, Disk] = {}
    for path in (settings.database.parent, evidence_spool(settings)):
        try:
            usage = shutil.disk_usage(path)
            found.setdefault(path.stat().st_dev, Disk(path, usage.free, usage.total))
        except OSError:
            continue
    return list(found.values())
