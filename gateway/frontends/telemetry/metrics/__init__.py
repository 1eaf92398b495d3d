"""What is counted, for Prometheus (docs/metrics.md). No label names a person, an address or a mail.

Every process counts into files of its own in one directory (prometheus_client's multiprocess mode); the process that
serves `/metrics` adds them up at each scrape. A process in which `begin` was not called counts nothing, at no cost.

    this file  what others call
    meters     the metrics themselves
    files      the directory: the dead are buried, the files of many dead become one
    numbers    what is asked of the database, the certificates, the listeners at a scrape
    page       all of it as one page
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from gateway import threads
from gateway.errors import Reason
from gateway.model.outcome import Settled
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.frontends.telemetry.metrics.living import Living
    from gateway.frontends.telemetry.metrics.meters import Meters

log = structlog.get_logger("sealgate.metrics")

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is first imported, and never again
DIRECTORY: Final = "metrics"
SAMPLE_S: Final = 2.0

_meters: "Meters | None" = None
_own = False
_samplers: list[Callable[[], None]] = []


def directory(settings: Settings) -> Path | None:
    """Where the processes count: None where the settings have no section `metrics`.

    The environment's value, because the starter of the processes may know better; else below the service's runtime
    directory (systemd.exec, RuntimeDirectory=), which is memory; else beside the database.
    """
    if settings.metrics is None:
        return None
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime or settings.database.parent) / DIRECTORY


def of_living(settings: Settings) -> "Living | None":
    """What the processes that live say of themselves; None where they count nothing."""
    place = directory(settings)
    if place is None or not place.is_dir():
        return None
    from gateway.frontends.telemetry.metrics import living  # loads prometheus_client, see VARIABLE

    return living.read(place)


def clean(settings: Settings) -> None:
    """Deletes the counts of an earlier run's processes; called before the first process is started.

    Sets the environment for all that follow. A directory that cannot be made is logged and otherwise ignored.
    """
    place = directory(settings)
    if place is None:
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in place.glob("*.db*"):
            file.unlink(missing_ok=True)
    except OSError as error:
        log.warning("metrics.unavailable", directory=str(place), error=error.strerror)
        return
    os.environ[VARIABLE] = str(place)


def begin(settings: Settings | None = None) -> bool:
    """From now on this process counts; False if it does not. Call it again in a process that was forked.

    Without `settings` the environment alone says where, as `clean` has left it.
    """
    global _meters  # noqa: PLW0603 - one per process, as the files are
    place = directory(settings) if settings is not None else _from_environment()
    if place is None:
        return False
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ[VARIABLE] = str(place)
        from gateway.frontends.telemetry.metrics import files, meters  # see VARIABLE

        files.reserve(place, os.getpid())
        _meters = _meters or meters.Meters()
    except OSError as error:
        log.warning("metrics.unavailable", directory=str(place), error=error.strerror)
        return False
    return True


def own_process() -> None:
    """Marks this process as a service, not a command: see `attend`."""
    global _own  # noqa: PLW0603
    _own = True
    begin()


def attend(settings: Settings) -> None:
    """`begin`, but for commands: what root does by hand must not leave files that the service cannot read."""
    if _own:
        begin(settings)


def _from_environment() -> Path | None:
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def counting() -> bool:
    """Whether this process counts."""
    return _meters is not None


def mail_settled(*, direction: str, listener: str, answer: str, reason: Reason | None, seconds: float, size: int,
                 recipients: Iterable[Settled] = ()) -> None:
    """One mail has its answer. `size` in octets; `recipients`: the result for each."""
    if _meters is not None:
        _meters.mail(direction, listener, answer, reason, seconds, size, recipients)


def refused(listener: str, reason: Reason) -> None:
    """A command or a connection was refused, before there was a mail."""
    if _meters is not None:
        _meters.refusals(listener, str(reason)).inc()


def judged(kind: str, status: str) -> None:
    """A verdict over an inbound mail: `kind` signature, decryption, timestamp or trust."""
    if _meters is not None:
        _meters.verdicts(kind, status).inc()


def decided(rule: str, end: str) -> None:
    """A rule decided for one recipient; '' where the mail itself could not go."""
    if _meters is not None:
        _meters.decisions(rule, end).inc()


def observed(direction: str, settled: str) -> None:
    """In `mode: observe`: the result that one recipient's mail would have had."""
    if _meters is not None:
        _meters.observed(direction, settled).inc()


def protected(direction: str, verb: str) -> None:
    """What was done to the mail of one recipient who got it."""
    if _meters is not None:
        _meters.protections(direction, verb).inc()


def fell_back(rule: str, way: str) -> None:
    """For want of a certificate one recipient's mail waits, or went as `way` says."""
    if _meters is not None:
        _meters.fallbacks(rule, way).inc()


def resting(kind: str, name: str, *, rests: bool) -> None:
    """Whether a directory or a time-stamping service is left alone, because it failed too often in a row."""
    if _meters is not None:
        _meters.resting(kind, name).set(int(rests))


def looked_up(source: str, answer: str, kept: str, seconds: float) -> None:
    """One source answered for one address."""
    if _meters is not None:
        _meters.lookups(source, answer, kept).inc()
        _meters.lookup_seconds(source).observe(seconds)


def next_hop(direction: str, answers: Iterable[str], seconds: float) -> None:
    """One transaction with the mail server behind us; `answers`: 2xx, 4xx, 5xx or none, of each recipient."""
    if _meters is not None:
        _meters.hop_seconds(direction).observe(seconds)
        for answer in answers:
            _meters.hop_replies(direction, answer).inc()


def stamped(stamper: str, answer: str, seconds: float) -> None:
    """A time-stamping service was asked; `answer`: stamped, or the reason why not."""
    if _meters is not None:
        _meters.stamps(stamper, answer).inc()
        _meters.stamp_seconds(stamper).observe(seconds)


def asked(operation: str, status: int, seconds: float) -> None:
    """A system of the bank has its answer; `operation`: as the interface's description calls it."""
    if _meters is not None:
        _meters.asked(operation, str(status)).inc()
        _meters.asked_seconds(operation).observe(seconds)


def code(client: str, what: str, reason: str) -> None:
    """A one-time code was sent or not_sent, or a try was valid or invalid; `reason`: why not."""
    if _meters is not None:
        _meters.codes(client, what, reason).inc()


def called(client: str, answer: str) -> None:
    """A client was called; `answer`: taken, or the reason why not."""
    if _meters is not None:
        _meters.callbacks(client, answer).inc()


def deleted(kind: str, records: int) -> None:
    """Old records of this kind were deleted."""
    if _meters is not None:
        _meters.deleted(kind).inc(records)


def database_error(kind: str) -> None:
    """The database gave an error, of this class of its driver."""
    if _meters is not None:
        _meters.database_errors(kind).inc()


def count_line(level: str, event: str) -> None:
    """A line of the log of level warning or worse. Events are words of the program: there are some dozens."""
    if _meters is not None:
        _meters.events(level, event).inc()


def line_dropped() -> None:
    """A line of the log could not be written."""
    if _meters is not None:
        _meters.dropped_lines.inc()


def in_force(digest: str, at: float) -> None:
    """Policies were loaded. `digest` names them all; `at`: seconds since 1970."""
    if _meters is not None:
        _meters.rules_in_force(digest, at)


def load(role: str, *, connections: int, waiting: int, working: int, octets: int) -> None:
    """How busy this process is, for one role of listener."""
    if _meters is not None:
        _meters.set_load(role, connections, waiting, working, octets)


def ready(kind: str, *, takes_mail: bool) -> None:
    """Whether this process takes mail now; `kind`: relay or milter."""
    if _meters is not None:
        _meters.ready(kind).set(int(takes_mail))


def sample(read: Callable[[], None]) -> None:
    """From now on calls `read` every SAMPLE_S seconds, on a thread of its own, to sample values.

    What changes with every mail is looked at now and then: that costs a mail nothing. Not before a fork.
    GatewayError INTERNAL (retry) if the system starts no thread.
    """
    if _meters is None:
        return
    if not _samplers:
        threads.start(_keep_sampling, name="sample")
    _samplers.append(read)


def _keep_sampling() -> None:
    while _meters is not None:
        for read in tuple(_samplers):
            try:
                read()
            except Exception as error:  # noqa: BLE001 - after any error the others are still examined
                log.warning("metrics.not_sampled", error=type(error).__name__)
        time.sleep(SAMPLE_S)
