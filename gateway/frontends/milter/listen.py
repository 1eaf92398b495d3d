"""The milter's listening socket, as the settings name it."""

import os
import socket
import stat
import time
from errno import EACCES, EADDRINUSE, EEXIST, ENOENT
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.settings import Milter

BACKLOG: Final = 512
TAKEN_S: Final = 10.0  # how long another process may still hold the address: the workers of one that was killed
_RETRY_S: Final = 0.2
_REMEDIES: Final = {
    EADDRINUSE: "another program uses the address: stop it (`ss -lntxp` shows it), or set another one",
    EEXIST: "the path exists and is not a socket: remove it, or set another path",
    ENOENT: "create the directory with the gateway's user as owner",
    EACCES: "make the gateway's user the owner of the directory, or use a port above 1023",
}


def listen(settings: Milter) -> socket.socket:
    """Listens. GatewayError CONFIG_INVALID if the address is not to be had."""
    kind, _, rest = settings.socket.partition(":")
    end = time.monotonic() + TAKEN_S
    while True:
        try:
            if kind == "unix":
                return _unix(Path(rest), int(settings.socket_mode, 8))
            port, _, host = rest.partition("@")
            return _inet((host.strip("[]"), int(port)), socket.AF_INET6 if kind == "inet6" else socket.AF_INET)
        except OSError as error:
            if error.errno != EADDRINUSE or time.monotonic() >= end:
                why = _REMEDIES.get(error.errno or 0) or error.strerror or error
                raise GatewayError(Reason.CONFIG_INVALID, f"milter.socket: {settings.socket}: {why}") from None
            time.sleep(_RETRY_S)


def _inet(address: tuple[str, int], family: socket.AddressFamily) -> socket.socket:
    """Connections inherit TCP_NODELAY: Postfix acknowledges the first part of a large answer 40 ms late, and Nagle's

    algorithm would hold the second one back so long.
    """
    listening = socket.create_server(address, family=family, backlog=BACKLOG)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _unix(path: Path, mode: int) -> socket.socket:
    """The file has the right mode before a client can connect, and replaces a socket without a listener."""
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(EEXIST, "no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        try:
            knock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(EADDRINUSE, "in use")
