"""`sealgate run`: the gateway behind its listeners until a signal ends it; SIGHUP reads rules and trust anew.

Beside it stand two children, started once it is ready: the jobs, and the HTTP service where the settings have one.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.app import Gateway
from gateway.errors import GatewayError
from gateway.frontends import metrics
from gateway.frontends.children import Children
from gateway.frontends.logs import configure, own_process
from gateway.frontends.server import SmtpFrontend
from gateway.settings import Settings, load

log = structlog.get_logger("sealgate")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MAPPED_FROM_OCTETS = 32 << 20  # the most that 64-bit glibc takes everywhere
_GIVEN_BACK_FROM_OCTETS = 256 << 20


def serve(settings: Settings, path: Path, *, reach: Callable[[str], None] | None = None) -> None:
    """Blocks until SIGTERM or SIGINT; mails in work are finished. `reach`: see `pipeline.house.House`.

    GatewayError if something cannot be had.
    """
    configure(settings.log_level)
    metrics.clean(settings)
    own_process()
    keep_memory()
    gateway = Gateway(settings, reach=reach)
    try:
        front = SmtpFrontend(
            settings,
            gateway.handle,
            probe=gateway.probe,
            verify=gateway.login if settings.passwords else None,
            clock=gateway.clock,
        )
        tell_expired(gateway)
        log.info("rules in force", digest=gateway.rules.digest, rules=len(gateway.rules.rules))
        beside = Children(children(settings, path))
        if settings.fetch.enabled:
            gateway.store.fetch_tasks.attend(gateway.clock.now())  # the jobs are about to begin
        front.run(
            loop_factory=loop_factory(),
            ready=lambda: _ready(gateway, path, beside),
            grace_s=settings.limits.message_deadline_s,
        )
    finally:
        gateway.close()
        notify("STOPPING=1")


def tell_expired(gateway: Gateway) -> None:
    """A signature by an expired certificate is believed by nobody: it is told loudly, at the start and at a reload."""
    now = gateway.clock.now()
    for name, key_set in gateway.house.key_sets.items():
        ended = key_set.signer_at(now).certificate.not_after
        if ended <= now:
            log.error("certificate expired", key_set=name, ended=ended.isoformat())


def keep_memory() -> bool:
    """Lets blocks of a mail's size stay with the process; False where the C library is not glibc.

    By default glibc gives the kernel back what the last mail left free, and the next one has it mapped and zeroed anew:
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


def notify(state: str) -> None:
    """Tells systemd (sd_notify(3)); nothing without it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.send(state.encode("ascii"))


def children(settings: Settings, path: Path) -> dict[str, tuple[str, ...]]:
    """The processes beside the relay, by name: how each is called."""
    command = (sys.executable, "-m", "gateway", "--config", str(path.absolute()))
    names = ("jobs",) if settings.http is None and settings.metrics is None else ("jobs", "http")
    return {name: (*command, name) for name in names}


def _ready(gateway: Gateway, path: Path, beside: Children) -> None:
    """The relay takes mail by now; its children do not keep it waiting."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: _reload(gateway, path, beside))
    notify("READY=1")
    beside.start()


def _reload(gateway: Gateway, path: Path, beside: Children) -> None:
    """What does not load leaves everything as it was, and says so loudly."""
    beside.reload()
    try:
        gateway.reload(load(path))
    except GatewayError as trouble:
        log.critical("not reloaded, the old rules stay in force", reason=str(trouble.reason), detail=trouble.detail)
        return
    tell_expired(gateway)
    log.info("reloaded", digest=gateway.rules.digest, rules=len(gateway.rules.rules))
