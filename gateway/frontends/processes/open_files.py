"""Lets the processes of the gateway open as many files and sockets as the settings allow connections.

Shells and many containers allow 1,024 (RLIMIT_NOFILE); the process gets no warning before they are used up. Then a
listener accepts no client, and strangers who fill their own share take the places of the bank's systems, too.
"""

import resource
from typing import Final

import structlog

from gateway.settings import Settings

log = structlog.get_logger("sealgate")

OTHERS: Final = 512  # in one process: next hops, database, directories, the HTTP interfaces, files, libraries


def needed_by(settings: Settings) -> int:
    """How many descriptors a process may need: `connections_max` counts for each role of listener."""
    roles = {listener.role for listener in settings.listeners}
    return len(roles) * settings.limits.connections_max + OTHERS


def make_room(settings: Settings) -> None:
    """Raises the limit of this process, and of those that it starts, as far as the system allows; logs if too low."""
    needed = needed_by(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_enough(soft, needed):
        return
    allowed = needed if _is_enough(hard, needed) else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):
        allowed = soft
    if allowed < needed:
        log.warning("limits.open_files", needed=needed, allowed=allowed)


def _is_enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
