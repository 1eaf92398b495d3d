"""Lets a `sealgate run` that was forked (`command_server.py`) fork its workers and other processes as well.

A fork of the supervisor would copy its event loop and threads. So a helper is forked from it before it begins, and
forks the children, twice each: when the process between is gone, the kernel gives the child to the supervisor
(PR_SET_CHILD_SUBREAPER, prctl(2)), which waits for it and ends it as for one that it has started itself.
"""

import array
import asyncio
import ctypes
import fcntl
import marshal
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from gateway.frontends.processes.memory_protection import ENVIRONMENT

_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl.h
_FDS_MAX: Final = 32
_HIGH: Final = 200  # above all descriptors that a child inherits under their numbers


def install(become: Callable[[dict[str, Any]], None]) -> None:
    """In the process that becomes the supervisor. `become`: carries out a request in a new process, until its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor = os.getpid()
    if os.fork() == 0:
        ours.close()
        become(_next_child(theirs, supervisor))
        os._exit(0)
    theirs.close()

    async def start(*command: str, stdin: int, start_new_session: bool, env: dict[str, str],
                    pass_fds: Sequence[int]) -> asyncio.subprocess.Process:
        assert (stdin, start_new_session) == (asyncio.subprocess.DEVNULL, True)
        assert command[1:3] == ("-m", "gateway")
        if "api" in command:  # it would start itself again, to forget what it frees
            env = {**env, **ENVIRONMENT}
        request = {"arguments": list(command[3:]), "directory": os.getcwd(), "environment": env,  # noqa: PTH109
                   "fds": list(pass_fds)}
        _adopt(1)
        try:
            ours.sendmsg([marshal.dumps(request)],
                         [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", pass_fds))] if pass_fds else [])
            pid = int(ours.recv(100))
        finally:
            _adopt(0)
        return cast("asyncio.subprocess.Process", _Child(pid))

    asyncio.create_subprocess_exec = start  # type: ignore[assignment]


def _adopt(on: int) -> None:
    """Whether orphans below this process become its children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, on, 0, 0, 0)


def _next_child(asked: socket.socket, supervisor: int) -> dict[str, Any]:
    """The helper's whole life; it returns in each child, with the request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        octets, ancillary, _, _ = asked.recvmsg(1 << 18, socket.CMSG_SPACE(_FDS_MAX * 4))
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        if not octets:  # the supervisor is gone
            os._exit(0)
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)
            return _begun(asked, supervisor, marshal.loads(octets), fds)
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)


def _begun(asked: socket.socket, supervisor: int, request: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    """In the child: descriptors, session and standard input as the supervisor asked."""
    while os.getppid() != supervisor:
        time.sleep(0.001)
    asked.send(str(os.getpid()).encode())
    asked.close()
    os.setsid()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, _HIGH) for fd in fds]
    for fd in fds:
        os.close(fd)
    for fd, number in zip(high, request["fds"], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return request


class _Child:
    """What the supervisor uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._pidfd = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._over.set_result(self.returncode)

    async def wait(self) -> int:
        return await asyncio.shield(self._over)

    def send_signal(self, number: int) -> None:
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
