"""Lets the processes of the gateway open as many files and sockets as the settings allow connections.

Shells and many containers allow 1,024 (RLIMIT_NOFILE), of which no one is told before they are used up: then a
listener accepts nobody, and strangers who fill their own share have the places of the bank's systems, too.
"""

import resource
from typing import Final

import structlog

from gateway.settings import Settings

log = structlog.get_logger("sealgate")

OTHERS: Final = 512  # in one process: next hops, database, directories, the HTTP interfaces, files, libraries


def needed(settings: Settings) -> int:
    """How many descriptors a process may need: `connections_max` counts for each role of listener."""
    roles = {listener.role for listener in settings.listeners}
    return len(roles) * settings.limits.connections_max + OTHERS


def make_room(settings: Settings) -> None:
    """Raises the limit of this process, and of those that it starts, as far as the system allows; logs if too low."""
    wanted = needed(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_enough(soft, wanted):
        return
    allowed = wanted if _is_enough(hard, wanted) else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):
        allowed = soft
    if allowed < wanted:
        log.warning("limits.open_files", needed=wanted, allowed=allowed)


def _is_enough(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
