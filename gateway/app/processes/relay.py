"""One relay worker: the gateway behind its listeners until a signal ends it.

`sealgate run` (`frontends.processes.supervisor`) starts as many of these as the settings say, each a process of its
own that opens keys, trust and database itself. A worker never reloads its rules: a reload starts a new worker.
"""

import asyncio
import ctypes
import json
import signal
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.app import Gateway
from gateway.frontends.processes import handover
from gateway.frontends.processes.children import end_with_parent
from gateway.frontends.processes.notify import live, notify
from gateway.frontends.processes.sockets import Sockets
from gateway.frontends.repeated_failures import FailureCounter, place
from gateway.frontends.shared_limits import SharedLimits
from gateway.frontends.smtp.server import SmtpFrontend
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.frontends.worker_limits import numbered, share
from gateway.settings import Settings, Texts

log = structlog.get_logger("sealgate")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MAPPED_FROM_OCTETS = 12 << 20  # beyond, each mail pays for its pages; below, a mail of 50 MB leaves holes of this size
_GIVEN_BACK_FROM_OCTETS = 256 << 20
_STUCK_DEADLINES = 2.0  # a mail in work for so many deadlines is in a call that does not return


def relay(settings: Settings, path: Path, *, reach: Callable[[str], None] | None = None,
          sockets: Sockets | None = None, policies: Texts | None = None, has_served: bool = False) -> None:
    """Blocks until SIGTERM or SIGINT; mails in work are finished. `reach`: see `pipeline.context.Context`.

    `sockets`: the listeners' by their names, from a supervisor; without them it opens its own. `policies`: what stands
    in them; without it they are read. `has_served`: see `Gateway.enter_service`. GatewayError if something cannot be
    had.
    """
    end_with_parent()
    configure(settings.log_level)
    own_process()
    keep_memory()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    number, size = numbered()
    gateway = Gateway(share(settings, number, size), reach=reach, policies=policies)
    try:
        gateway.enter_service(has_served=has_served)
        front = SmtpFrontend(
            share(settings, number, size),
            FailureCounter(place(settings)).watching(gateway.handle),
            probe=gateway.probe,
            verify=gateway.login if settings.passwords else None,
            clock=gateway.clock,
            shared_limits=SharedLimits.inherited(),
        )
        rules = {"digest": gateway.rules.digest, "rules": len(gateway.rules.rules), "settings": str(path)}
        if number == 0:
            tell_expired(gateway)
            log.info("rules.loaded", **rules)
        for kept in handover.before():
            gateway.remember(kept)
        if sockets is not None and settings.fetch.enabled:
            gateway.store.fetch_tasks.attend(gateway.clock.now())  # the jobs are about to begin

        def stuck() -> bool:
            return front.oldest_mail_s() > _STUCK_DEADLINES * settings.limits.message_deadline_s

        def ready() -> None:
            handover.write_when_asked(gateway.kept)
            notify("READY=1", f"X_RULES={json.dumps(rules)}")
            front.keep(live(lambda: not stuck()))

        front.run(
            loop_factory=loop_factory(),
            ready=ready,
            deaf=lambda: notify("STOPPING=1"),
            grace_s=settings.limits.message_deadline_s,
            sockets=sockets,
        )
    finally:
        gateway.close()


def tell_expired(gateway: Gateway) -> None:
    """Logs as critical, at the start and at a reload: an expired signing certificate, and `mode: observe`.

    No reader trusts a signature by an expired certificate, and in `mode: observe` mail is not signed at all.
    """
    if gateway.context.trial is not None:
        log.warning("mode.observe")
    now = gateway.clock.now()
    for name, key_set in gateway.context.key_sets.items():
        ended = key_set.signer_at(now).certificate.not_after
        if ended <= now:
            log.error("certificate.expired", key_set=name, ended=ended.isoformat())


def keep_memory() -> bool:
    """Lets blocks of a mail's size stay with the process; False where the C library is not glibc.

    By default glibc gives the kernel back what the last mail left free, and maps and zeroes it again for the next one:
    encrypting 1 MiB then takes 900 us instead of 240. At most 256 MiB of free memory are kept at the end of the heap.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_OCTETS) and mallopt(_M_TRIM_THRESHOLD, _GIVEN_BACK_FROM_OCTETS))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Gives uvloop where it installs: bulk reading gains a third from it. Plain asyncio works too."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
