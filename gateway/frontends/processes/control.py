"""The supervisor's control socket: `sealgate reload` asks for a reload and waits for its outcome.

A Unix stream socket (mode 0600) in the service's runtime directory, else beside the database. One request for each
connection: the line `reload`. The answer is one line of JSON: `{"digest": ..., "rules": ...}` when all processes work
by the new set, or `{"reason": ..., "detail": ..., "retry": ...}` when some or all go on with the old one.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.settings import Settings

log = structlog.get_logger("sealgate")

NAME: Final = "sealgate.control"
RELOAD: Final = b"reload\n"
ASKED_S: Final = 5.0
ANSWER_OCTETS_MAX: Final = 65_536
ANSWER_S: Final = 300.0  # the supervisor gives up before: START_S for the relay, then CHILDREN_S for the others

Reload = Callable[[], Awaitable[dict[str, Any]]]


def place(settings: Settings) -> Path:
    """The socket's directory. systemd names the runtime directory to ExecStart= and ExecReload= alike."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime or settings.database.parent)


@contextmanager
def _address(directory: Path) -> Iterator[str]:
    """The socket's path. Through a descriptor of the directory, for sun_path has 108 octets only (unix(7))."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


class Control:
    """The supervisor's side."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: asyncio.Server | None = None

    async def open(self, reload: Reload) -> None:
        """Listens. `reload`: does it and returns the answer. A socket that cannot be had is only logged."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, TimeoutError, ValueError):
                if await asyncio.wait_for(reader.readline(), ASKED_S) == RELOAD:
                    writer.write(json.dumps(await reload()).encode() + b"\n")
                    await writer.drain()
            writer.close()

        try:
            self._server = await asyncio.start_unix_server(serve, sock=self._bound())
        except OSError as error:
            log.warning("control.unavailable", path=str(self._directory / NAME), error=error.strerror)

    def _bound(self) -> socket.socket:
        """OSError, also where another supervisor listens."""
        with _address(self._directory) as address:
            with socket.socket(socket.AF_UNIX) as knock, suppress(FileNotFoundError, ConnectionRefusedError):
                knock.connect(address)
                raise OSError(None, "another supervisor listens there")
            with suppress(FileNotFoundError):
                os.unlink(address)  # noqa: PTH108 - a path through a descriptor
            listening = socket.socket(socket.AF_UNIX)
            try:
                before = os.umask(0o177)
                try:
                    listening.bind(address)
                finally:
                    os.umask(before)
            except OSError:
                listening.close()
                raise
            return listening

    def close(self) -> None:
        """Ends it, and removes the socket's file."""
        if self._server is not None:
            self._server.close()
            with suppress(OSError):
                (self._directory / NAME).unlink()


def ask_for_reload(directory: Path) -> dict[str, Any]:
    """The command's side: blocks until the reload is over. Returns the rules in force.

    GatewayError: why a process goes on with the old set; CONFIG_UNREADABLE if no supervisor listens there.
    """
    try:
        with socket.socket(socket.AF_UNIX) as sock, _address(directory) as address:
            sock.settimeout(ANSWER_S)
            sock.connect(address)
            sock.sendall(RELOAD)
            with sock.makefile("rb") as stream:
                line = stream.readline(ANSWER_OCTETS_MAX)
    except TimeoutError:
        raise GatewayError(Reason.INTERNAL, f"no answer within {ANSWER_S:.0f} s", retry=True) from None
    except OSError as error:
        raise GatewayError(
            Reason.CONFIG_UNREADABLE, f"{directory / NAME}: {error.strerror}. No `sealgate run` with these settings "
            "answers here. Use `systemctl reload sealgate` for the service; else start `sealgate run`.") from None
    if not line:
        raise GatewayError(Reason.INTERNAL, "the gateway ended before it had reloaded", retry=True)
    answer: dict[str, Any] = json.loads(line)
    if "reason" in answer:
        raise GatewayError(Reason(answer["reason"]), answer["detail"], retry=answer["retry"])
    return answer
