"""Listening sockets that outlive the processes that accept on them: bound here or by systemd, inherited by workers.

As long as one process holds a socket no connection is refused: unaccepted connections wait in the kernel.
See sd_listen_fds(3) and systemd.socket(5).

All workers accept on the same sockets. A socket for each (SO_REUSEPORT) shares out no better: of two workers under
uvloop the one that got more had, in three rounds, 51-55 % of 200 connections one after the other (with a socket for
each 51-54 %), 52-53 % of 400 by 20 clients (50-53 %), 55-80 % of 20 kept ones (65-75 %), 51-55 % of 100 at once
(50-55 %). And what waits at the socket of a worker that has died waits for its successor, not for the next one free.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from errno import EADDRINUSE
from typing import Final

from gateway.errors import GatewayError, Reason, address_error
from gateway.frontends.smtp import dialogue
from gateway.settings import Listener

GIVEN: Final = "SEALGATE_SOCKETS"  # environment of a worker: JSON, listener's name to file descriptors
BACKLOG: Final = 512
RETRY_S: Final = 0.2
FIRST_FD: Final = 3  # SD_LISTEN_FDS_START

Sockets = Mapping[str, Sequence[socket.socket]]


def bound(listener: Listener, until: float = 0.0) -> list[socket.socket]:
    """New sockets for every address of a listener, bound but not listening yet: the first worker that is ready does.

    `until`: monotonic time up to which an address in use is tried again: the workers of a supervisor that was killed
    close theirs within moments. Blocks so long. GatewayError(CONFIG_INVALID) if an address cannot be had, with `retry`
    where another program has it.
    """
    while True:
        try:
            return _bound(listener)
        except OSError as error:
            if error.errno != EADDRINUSE or time.monotonic() >= until:
                raise unavailable(listener, error) from None
        time.sleep(RETRY_S)


def _bound(listener: Listener) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(listener.host or None, listener.port, type=socket.SOCK_STREAM,
                                   flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def unavailable(listener: Listener, error: OSError) -> GatewayError:
    """Returns the error of a listener whose address cannot be opened."""
    return GatewayError(Reason.CONFIG_INVALID,
                        address_error(f"listeners: {listener.name}: {listener.host}:{listener.port}", error),
                        retry=error.errno == EADDRINUSE)


def from_systemd(listeners: Iterable[Listener]) -> dict[str, list[socket.socket]]:
    """Sockets that systemd opened for us, by listener: by FileDescriptorName=, else by the port.

    Empty without socket activation. CONFIG_INVALID for one that belongs to no listener: it would swallow connections.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    listeners = tuple(listeners)
    given: dict[str, list[socket.socket]] = {}
    for number in range(int(os.environ.get("LISTEN_FDS", "0"))):
        one = socket.socket(fileno=FIRST_FD + number)
        one.setblocking(False)
        one.set_inheritable(False)
        listener = _whose(one, names[number] if number < len(names) else "", listeners)
        given.setdefault(listener.name, []).append(one)
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)
    return given


def _whose(one: socket.socket, name: str, listeners: Sequence[Listener]) -> Listener:
    address = one.getsockname()
    port = address[1] if isinstance(address, tuple) else None
    for listener in (*(each for each in listeners if each.name == name),
                     *(each for each in listeners if each.port and each.port == port)):
        return listener
    raise GatewayError(Reason.CONFIG_INVALID, f"systemd hands over a socket that no listener has: {name} at {address}; "
                       "FileDescriptorName= is a listener's name, or ListenStream= has its port")


def handed_on(sockets: Sockets) -> tuple[dict[str, str], tuple[int, ...]]:
    """Environment and file descriptors of a worker that shall have these."""
    numbers = {name: [one.fileno() for one in several] for name, several in sockets.items()}
    return {GIVEN: json.dumps(numbers)}, tuple(number for several in numbers.values() for number in several)


def inherited() -> dict[str, list[socket.socket]] | None:
    """The sockets that `handed_on` gave to this process; None without any."""
    value = os.environ.pop(GIVEN, None)
    if value is None:
        return None
    sockets = {name: [socket.socket(fileno=number) for number in several]
               for name, several in json.loads(value).items()}
    for several in sockets.values():
        for one in several:
            one.set_inheritable(False)  # not for the worker's own children (LDAP)
    return sockets


class Unavailable:
    """Answers 421 on the listening sockets and closes, while no worker serves. In the event loop's thread.

    Without it a client would connect to a socket on which no process accepts, and wait for its own time-out.
    """

    def __init__(self, sockets: Sockets, in_clear: Collection[str]) -> None:
        """`in_clear`: names of the listeners that greet in clear. The others are closed without a word."""
        self._replies = {one: dialogue.UNAVAILABLE if name in in_clear else b""
                         for name, several in sockets.items() for one in several}

    def switch(self, on: bool) -> None:  # noqa: FBT001 - the only argument
        """Begins or ends."""
        loop = asyncio.get_running_loop()
        for one, reply in self._replies.items():
            if on:
                one.setblocking(False)  # no worker has done so before the first one is ready
                one.listen(BACKLOG)
                loop.add_reader(one, self._accept, one, reply)
            else:
                loop.remove_reader(one)

    @staticmethod
    def _accept(listening: socket.socket, reply: bytes) -> None:
        for _ in range(BACKLOG):
            try:
                client, _ = listening.accept()
            except OSError:  # no client waits any more, or it has left already
                return
            with client, suppress(OSError):
                client.setblocking(False)
                client.send(reply)
                client.shutdown(socket.SHUT_WR)
