"""`sealgate run`: the gateway behind its listeners until a signal ends it; SIGHUP reads rules and trust anew."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.app import Gateway
from gateway.errors import GatewayError
from gateway.frontends.logs import configure
from gateway.frontends.server import SmtpFrontend
from gateway.settings import Settings, load

log = structlog.get_logger("sealgate")


def serve(settings: Settings, path: Path, *, reach: Callable[[str], None] | None = None) -> None:
    """Blocks until SIGTERM or SIGINT; mails in work are finished. `reach`: see `pipeline.house.House`.

    GatewayError if something cannot be had.
    """
    configure(settings.log_level)
    gateway = Gateway(settings, reach=reach)
    try:
        front = SmtpFrontend(
            settings,
            gateway.handle,
            probe=gateway.probe,
            verify=gateway.login if settings.passwords else None,
            clock=gateway.clock,
        )
        log.info("rules in force", digest=gateway.rules.digest, rules=len(gateway.rules.rules))
        front.run(
            loop_factory=loop_factory(), ready=lambda: _ready(gateway, path), grace_s=settings.limits.message_deadline_s
        )
    finally:
        gateway.close()
        notify("STOPPING=1")


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


def _ready(gateway: Gateway, path: Path) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: _reload(gateway, path))
    notify("READY=1")


def _reload(gateway: Gateway, path: Path) -> None:
    """What does not load leaves everything as it was, and says so loudly."""
    try:
        gateway.reload(load(path))
    except GatewayError as trouble:
        log.critical("not reloaded, the old rules stay in force", reason=str(trouble.reason), detail=trouble.detail)
        return
    log.info("reloaded", digest=gateway.rules.digest, rules=len(gateway.rules.rules))
