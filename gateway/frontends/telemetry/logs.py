"""One line per message, JSON, to standard error: who, to whom, how it ended, why. No content, no secrets.

aiosmtpd writes commands, and with DEBUG whole mails and passwords, to the logger `mail.log`. That logger is closed:
at no level does a record of it reach a handler, even if the level is set later. Exceptions are logged by type and
place; their text and the values on their stack may be content. So may lines of libraries through `logging` or
`warnings`: of these, too, only the place is logged.

A call of a logger never raises, and never waits long. A line that cannot be written (full disk, closed pipe, a reader
of the pipe or socket that reads no more) is dropped and counted, and the next line that can be written is followed by
the number of dropped ones.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import stat
import sys
import threading
import time
from typing import Any, Final, Literal

import structlog

from gateway.errors import where
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.log_events import MESSAGES
from gateway.frontends.telemetry.log_limits import Floods

log = structlog.get_logger("sealgate.process")

READER_S: Final = 1.0  # how long a line waits for a reader that has stopped; a restart of journald takes less
_GRACE_S: Final = 0.05  # after which a line that finds no room is given up, though a piece of it might still go

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Nothing(logging.Filter):
    """Lets no record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        del record
        return False


_NOTHING = _Nothing("never")
_FLOODS = Floods()


class _Waiting:
    """Writes to a pipe or socket whose reader may have stopped. Safe on many threads.

    The first line that finds no room waits READER_S for it, later ones do not wait until there is room again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stalled = False
        self._cut = False  # the last line was written in part

    def write(self, descriptor: int, octets: bytes) -> None:
        """Writes all of `octets`. OSError EAGAIN if the reader does not make room in time."""
        with self._lock:
            until = time.monotonic() + (0.0 if self._stalled else READER_S)
            left = memoryview(b"\n" + octets if self._cut else octets)
            whole = len(left)
            try:
                while left:
                    _wait_until_writable(descriptor, until)
                    with contextlib.suppress(BlockingIOError):  # there was less than needed, or another took it
                        left = left[_write_at_once(descriptor, left):]
                self._stalled = self._cut = False
            except BlockingIOError:
                self._stalled = True
                self._cut = self._cut or len(left) < whole
                raise


def _wait_until_writable(descriptor: int, until: float) -> None:
    """BlockingIOError if there is none `until` then (time.monotonic)."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    wait_s = until - time.monotonic()
    if not poll.poll(max(0.0, wait_s) * 1000) or (wait_s < -_GRACE_S):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _write_at_once(descriptor: int, octets: memoryview) -> int:
    """How much was written. BlockingIOError if nothing can be.

    Other programs may share the open file, so it stays a blocking one. Kernels before 6.5 cannot write to a blocking
    pipe without waiting; they wait at most for others that fill it between the look and the write.
    """
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        one = socket.socket(fileno=descriptor)
        try:
            return one.send(octets, socket.MSG_DONTWAIT)
        finally:
            one.detach()
    try:
        return os.pwritev(descriptor, [octets], -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return os.write(descriptor, octets[:select.PIPE_BUF])


_WAITING: Final = _Waiting()


class _StandardError:
    """Writes lines to what `sys.stderr` is at that moment. Raises what the stream raises."""

    def __init__(self, *_: object) -> None:
        """See structlog's `logger_factory`."""

    def msg(self, line: str) -> None:
        """Writes one line."""
        stream = sys.stderr
        if stream is None:  # the process was started with a closed standard error
            raise OSError("no standard error")
        if (descriptor := _with_reader(stream)) is not None:
            _WAITING.write(descriptor, f"{line}\n".encode("utf-8", "backslashreplace"))
            return
        stream.write(f"{line}\n")
        stream.flush()

    debug = info = warning = error = critical = msg


def _with_reader(stream: Any) -> int | None:
    """The descriptor of a stream that is a pipe or a socket; None of any other one."""
    try:
        descriptor: int = stream.fileno()
        mode = os.fstat(descriptor).st_mode
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


class _Dropped:
    """The number of lines that could not be written since the last one that could. Safe on many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines = 0

    def add(self) -> None:
        """Counts one more."""
        with self._lock:
            self._lines += 1
        metrics.line_dropped()

    def take(self) -> int:
        """Returns the number and sets it to 0."""
        if not self._lines:
            return 0
        with self._lock:
            lines, self._lines = self._lines, 0
        return lines


_DROPPED: Final = _Dropped()


def _wrapper(level: int) -> type[structlog.typing.FilteringBoundLogger]:
    """A filtering logger of structlog whose calls never raise: a log is no reason for work to fail."""
    base = structlog.make_filtering_bound_logger(level)

    def proxy(self: Any, method_name: str, event: str | None = None, **fields: Any) -> None:
        try:
            base._proxy_to_logger(self, method_name, event, **fields)  # type: ignore[attr-defined]  # noqa: SLF001 - structlog documents it for subclasses
        except Exception:  # noqa: BLE001 - any exception of the processors or the stream
            _DROPPED.add()
            return
        if lines := _DROPPED.take():
            log.warning("log.lines_dropped", lines=lines)

    return type("Logger", (base,), {"_proxy_to_logger": proxy})


_WRAPPERS: Final = {name: _wrapper(number) for name, number in _LEVELS.items()}


def silence_aiosmtpd() -> None:
    """Closes aiosmtpd's logger; more than once does no harm. A filter works with any level that is set later."""
    logger = logging.getLogger("mail.log")
    if _NOTHING not in logger.filters:
        logger.addFilter(_NOTHING)
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False


def configure(level: Literal["debug", "info", "warning", "error"]) -> None:
    """Sets up structlog for the whole process."""
    silence_aiosmtpd()
    structlog.configure(
        processors=[
            _FLOODS,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _counted,
            _with_message,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=_WRAPPERS[level],
        logger_factory=_StandardError,
        cache_logger_on_first_use=False,
    )


def _counted(_logger: object, level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Counts each line of a level that needs attention."""
    if level not in ("info", "debug"):
        metrics.count_line(line["level"], str(line["event"]))
    return line


def _with_message(_logger: object, _level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Adds the sentence for people to the event's id."""
    if message := MESSAGES.get(str(line["event"])):
        line["message"] = message
    return line


class _Library(logging.Handler):
    """Logs that a library logged a line, and where; not its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        error = record.exc_info[1] if record.exc_info else None
        log.warning("library.warning", logger=record.name, where=f"{record.filename}:{record.lineno}",
                    error=None if error is None else where(error))


def own_process() -> None:
    """For a process of the gateway alone: logs uncaught exceptions and the lines of libraries."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Library) for handler in root.handlers):
        root.addHandler(_Library(logging.WARNING))
    logging.captureWarnings(True)
    metrics.own_process()
    sys.excepthook = lambda _kind, error, _traceback: log_unexpected(log, error)
    threading.excepthook = lambda args: log_unexpected(log, args.exc_value or args.exc_type())
    sys.unraisablehook = lambda args: log_unexpected(log, args.exc_value or args.exc_type())


def log_unexpected(log: Any, error: BaseException, **fields: object) -> None:
    """Logs an unexpected exception."""
    log.error("internal.error", where=where(error), **fields)
