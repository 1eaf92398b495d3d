"""One line per message, JSON, to standard error: who, to whom, how it ended, why. No content, no secrets.

aiosmtpd writes commands, and with DEBUG whole mails and passwords, to the logger `mail.log`. That logger is closed
for good: at no level, whoever sets it, does a record of it reach a handler. Exceptions are told by type and place;
their text and the values on their stack may be content. So may what libraries say for themselves through `logging` or
`warnings`: of that, too, only the place is told.

A call of a logger never raises. A line that cannot be written (full disk, closed pipe) is dropped and counted, and the
next line that can be written is preceded by the number of dropped ones.
"""

import logging
import sys
import threading
from typing import Any, Final, Literal

import structlog

from gateway.errors import where
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.log_events import MESSAGES
from gateway.frontends.telemetry.log_limits import Floods

log = structlog.get_logger("sealgate.process")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Nothing(logging.Filter):
    """Lets no record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        del record
        return False


_NOTHING = _Nothing("never")
_FLOODS = Floods()


class _StandardError:
    """Writes lines to what `sys.stderr` is at that moment. Raises what the stream raises."""

    def __init__(self, *_: object) -> None:
        """See structlog's `logger_factory`."""

    def msg(self, line: str) -> None:
        """Writes one line."""
        stream = sys.stderr
        if stream is None:  # the process was started with a closed standard error
            raise OSError("no standard error")
        stream.write(f"{line}\n")
        stream.flush()

    debug = info = warning = error = critical = msg


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
        except Exception:  # noqa: BLE001 - whatever the processors or the stream raise
            _DROPPED.add()
            return
        if lines := _DROPPED.take():
            log.warning("log.lines_dropped", lines=lines)

    return type("Logger", (base,), {"_proxy_to_logger": proxy})


_WRAPPERS: Final = {name: _wrapper(number) for name, number in _LEVELS.items()}


def silence_aiosmtpd() -> None:
    """Closes aiosmtpd's logger; more than once does no harm. A filter stands whatever level is set later."""
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
    """Whatever is bad enough to be looked at is a number, too."""
    if level not in ("info", "debug"):
        metrics.told(line["level"], str(line["event"]))
    return line


def _with_message(_logger: object, _level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Adds the sentence for people to the event's id."""
    if message := MESSAGES.get(str(line["event"])):
        line["message"] = message
    return line


class _Library(logging.Handler):
    """Tells that a library had something to say, and where; not what."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        error = record.exc_info[1] if record.exc_info else None
        log.warning("library.warning", logger=record.name, where=f"{record.filename}:{record.lineno}",
                    error=None if error is None else where(error))


def own_process() -> None:
    """For a process that is the gateway's alone: what nobody caught, and what libraries say, is a line of this log."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Library) for handler in root.handlers):
        root.addHandler(_Library(logging.WARNING))
    logging.captureWarnings(True)
    metrics.own_process()
    sys.excepthook = lambda _kind, error, _traceback: surprise(log, error)
    threading.excepthook = lambda args: surprise(log, args.exc_value or args.exc_type())
    sys.unraisablehook = lambda args: surprise(log, args.exc_value or args.exc_type())


def surprise(log: Any, error: BaseException, **fields: object) -> None:
    """The line for an exception that nobody expected."""
    log.error("internal.error", where=where(error), **fields)
