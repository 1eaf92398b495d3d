"""The actor on the command line: the user who logged in, also after `su` or `sudo`.

The kernel keeps the login's user id of each process in /proc/self/loginuid; only root can change it. Where it is not
set (no PAM session, such as in a container or a timer), the actor is the real user id. SUDO_USER is a remark: everyone
can set it.
"""

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.model.audit.actor import Actor

LOGIN_ID: Final = Path("/proc/self/loginuid")
_UNSET: Final = 0xFFFFFFFF  # (uid_t) -1
_SERVICES: Final = frozenset({"run", "jobs", "milter", "http", "api", "worker", "runs"})
_REMARKS: Final = ("SUDO_USER", "SSH_CONNECTION")


def command_actor(command: str, environ: Mapping[str, str] = os.environ, login_id: Path = LOGIN_ID) -> Actor:
    """The actor of a command. Processes of the service act for themselves."""
    if command in _SERVICES:
        return Actor("program", f"sealgate {command}")
    login = _login_id(login_id)
    uid = os.getuid() if login is None else login
    remark = ", ".join(f"{name}={environ[name]}" for name in _REMARKS if environ.get(name))
    where = "uid" if login is None else "login uid"
    return Actor("user", _name(uid), f"{where} {uid}, {_terminal()}", remark=remark)


def _login_id(path: Path) -> int | None:
    try:
        uid = int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _UNSET else uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _terminal() -> str:
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            return os.ttyname(descriptor)
    return "no terminal"
