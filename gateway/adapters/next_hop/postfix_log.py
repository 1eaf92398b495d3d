"""Postfix's log, from where it was left: which recipient's server answered what for which mail.

A line of a delivery agent (smtp(8), lmtp(8), local(8), virtual(8), pipe(8), error(8)):

    Nov 26 20:12:55 mx postfix/smtp[4711]: 4XyZ: to=<a@b.example>, relay=…, delay=…, dsn=2.0.0, status=sent (250 …)

Stamps are those of syslog or of RFC 3339, as rsyslog and journald write them; the first part of `postfix/` may be
another name (syslog_name). Each part is read at its place from the left, so that nothing that a stranger's server
answers, which is at the end, is taken for a status.

A log is moved away (logrotate) or cut (copytruncate): the rest of the moved one is read first, if it is
beside the new one uncompressed. Lines that are not whole yet are left for the next time.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.delivery_log import DeliveryBatch, Place
from gateway.ports.services.statements.rows import Delivery

LINE_OCTETS_MAX: Final = 65_536
ANSWER_CHARACTERS_MAX: Final = 500
BATCH_LINES: Final = 1_000  # of deliveries, reported at once

# A quoted local part may hold what looks like the rest of the line.
_ADDRESS: Final = r'(?:[^\s<>"]{1,256}|"(?:[^"\\]|\\.){0,256}")@[^\s<>"]{1,255}'
_LINE: Final = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\S{8,30}|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S{1,255} \S{1,100}/"
    r"(?:smtp|lmtp|local|virtual|pipe|error|discard|retry)\[\d{1,10}\]: (?P<queue>[0-9A-Za-z]{6,30}): "
    rf"to=<{_ADDRESS}>, "
    r"(?:orig_to=<[^>]{0,320}>, )?relay=(?P<relay>[^ ,]{1,320}), (?:conn_use=\d+, )?delay=[\d.]+, (?:delays=[\d./]+, )?"
    r"dsn=(?P<dsn>\d\.\d{1,3}\.\d{1,3}), status=(?P<status>[a-z]{4,20}) \((?P<text>.*)\)$")
_STATES: Final = {"sent": "delivered", "deferred": "deferred", "bounced": "bounced", "expired": "bounced"}
# A filter of the same machine takes it, and gives it back to Postfix under another id.
_HANDED_ON: Final = re.compile(r"250 .{0,200}queued as (?P<next>[0-9A-Za-z]{6,30})\)?$")
_HERE: Final = re.compile(r"(?:\S*\[(?:127\.[\d.]+|::1|0:0:0:0:0:0:0:1)\](?::\d+)?|.*\[(?:private|public)/.*)$")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SLACK: Final = timedelta(days=2)  # a stamp without a year that is further ahead is last year's


class PostfixLog:
    """See ports.services.delivery_log.DeliveryLog. `kept`: the file that holds the place."""

    def __init__(self, path: Path, kept: Path, clock: Clock) -> None:
        self._path = path
        self._kept = kept
        self._clock = clock

    def read(self) -> Iterator[DeliveryBatch]:
        """See DeliveryLog."""
        begin = self._place()
        try:
            with self._path.open("rb") as file:
                now = _of(file)
                lost = False
                if begin is not None and (begin.device, begin.inode) != (now.device, now.inode):
                    old = self._moved(begin)
                    lost = old is None
                    if old is not None:
                        yield from self._rest(old, begin.offset, lost=False)
                    begin = None
                elif begin is not None and begin.offset > now.offset:  # cut
                    begin, lost = None, True
                yield from self._rest(self._path, 0 if begin is None else begin.offset, lost=lost, file=file)
        except OSError as error:
            raise GatewayError(Reason.INPUT_UNREADABLE, f"{error.filename}: {error.strerror}") from None

    def _moved(self, place: Place) -> Path | None:
        """The file that was read before, under its new name."""
        for found in sorted(self._path.parent.glob(f"{self._path.name}[.-]*")):
            about = found.stat()
            if (about.st_dev, about.st_ino) == (place.device, place.inode):
                return found
        return None

    def _rest(self, path: Path, offset: int, *, lost: bool, file: BinaryIO | None = None) -> Iterator[DeliveryBatch]:
        """All whole lines from `offset` on."""
        if file is None:
            with path.open("rb") as opened:
                yield from self._rest(path, offset, lost=lost, file=opened)
            return
        here = _of(file)
        file.seek(offset)
        found: list[Delivery] = []
        at, has_batch = offset, False
        while line := file.readline(LINE_OCTETS_MAX):
            if not line.endswith(b"\n"):
                if len(line) < LINE_OCTETS_MAX:
                    break  # it is still being written
                while (more := file.readline(LINE_OCTETS_MAX)) and not more.endswith(b"\n"):
                    at += len(more)
                at += len(line) + len(more)
                continue
            at += len(line)
            delivery = self._delivery(line)
            if delivery is not None:
                found.append(delivery)
                if len(found) == BATCH_LINES:
                    yield DeliveryBatch(found, Place(here.device, here.inode, at), lost)
                    found, lost, has_batch = [], False, True
        if found or not has_batch or lost:
            yield DeliveryBatch(found, Place(here.device, here.inode, at), lost)

    def _delivery(self, line: bytes) -> Delivery | None:
        if b" status=" not in line or b": to=<" not in line:
            return None
        match = _LINE.match(line.decode("utf-8", "replace").rstrip("\r\n"))
        if match is None:
            return None
        at, state, text = self._moment(match["at"]), _STATES.get(match["status"]), match["text"]
        if at is None or state is None:
            return None
        handed_on = _HANDED_ON.search(text) if state == "delivered" and _HERE.match(match["relay"]) else None
        return Delivery(match["queue"], state, text[:ANSWER_CHARACTERS_MAX], at, handed_on["next"] if handed_on else "")

    def _moment(self, text: str) -> datetime | None:
        """A stamp of syslog names no year and no zone: the machine's own, and the last time that this date was."""
        try:
            if text[0].isdigit():
                at = datetime.fromisoformat(text)
                return at.astimezone(UTC)
            now = self._clock.now()
            hour, minute, second = map(int, text[7:].split(":"))
            month, day = _MONTHS.index(text[:3]) + 1, int(text[4:6])
            for year in (now.year + 1, now.year, now.year - 1):  # on New Year's Eve some clocks are ahead
                if (month, day) == (2, 29) and (year % 4 or (year % 100 == 0 and year % 400)):
                    continue
                at = datetime(year, month, day, hour, minute, second).astimezone(UTC)
                if at <= now + _SLACK:
                    return at
        except (ValueError, OverflowError):
            return None
        return None

    def _place(self) -> Place | None:
        try:
            known = json.loads(self._kept.read_bytes())
            return Place(int(known["device"]), int(known["inode"]), int(known["offset"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GatewayError(Reason.INPUT_UNREADABLE, f"{self._kept}: {error}") from None

    def keep(self, place: Place) -> None:
        """See DeliveryLog."""
        new = self._kept.with_name(f".{self._kept.name}.new")
        try:
            with new.open("w", encoding="ascii") as file:
                json.dump({"device": place.device, "inode": place.inode, "offset": place.offset}, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._kept)
        except OSError as error:
            raise GatewayError(Reason.INPUT_UNREADABLE, f"{error.filename}: {error.strerror}") from None


def _of(file: BinaryIO) -> Place:
    """The file, and its size."""
    about = os.fstat(file.fileno())
    return Place(about.st_dev, about.st_ino, about.st_size)
