"""Lets a command that was forked (`command_server.py`) fork the processes that it would start by loading the gateway:
those of `sealgate run`, and those of statement runs, which multiprocessing starts.

A fork of the command itself would copy its event loop, threads and connections. So a helper is forked from it before it
begins, and forks the children, twice each: when the process between is gone, the kernel gives the child to the command
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
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import util
from typing import Any, Final, cast

from gateway.distribution import own_command
from gateway.frontends.processes.memory_protection import ENVIRONMENT

_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl.h
_FDS_MAX: Final = 32
_HIGH: Final = 200  # above all descriptors that a child inherits under their numbers
_SPAWNED: Final = "from multiprocessing.spawn import spawn_main"


def install(become: Callable[[dict[str, Any]], None]) -> None:
    """In the process that becomes the command. `become`: carries out a request in a new process, until its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = os.getpid()
    if os.fork() == 0:
        ours.close()
        become(_next_child(theirs, command))
        os._exit(0)
    theirs.close()
    asking = _Asking(ours)
    asyncio.create_subprocess_exec = asking.exec  # type: ignore[assignment]
    util.spawnv_passfds = asking.spawn  # type: ignore[attr-defined]


class _Asking:
    """The command's side."""

    def __init__(self, helper: socket.socket) -> None:
        self._helper = helper
        self._one = threading.Lock()
        self._spawn = util.spawnv_passfds  # type: ignore[attr-defined]

    def _child(self, fds: Sequence[int], **request: Any) -> int:
        """The process id of a new child of this process."""
        octets = marshal.dumps({"directory": os.getcwd(), "fds": list(fds), **request})  # noqa: PTH109
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with self._one:
            _adopt(1)
            try:
                self._helper.sendmsg([octets], passed)
                return int(self._helper.recv(100))
            finally:
                _adopt(0)

    async def exec(self, *command: str, stdin: int, start_new_session: bool, env: dict[str, str],
                   pass_fds: Sequence[int]) -> asyncio.subprocess.Process:
        """In place of `asyncio.create_subprocess_exec`, as `gateway.frontends.processes.process` calls it."""
        assert (stdin, start_new_session) == (asyncio.subprocess.DEVNULL, True)
        own = own_command()
        assert command[:len(own)] == own
        if "api" in command:  # it would start itself again, to forget what it frees
            env = {**env, **ENVIRONMENT}
        pid = self._child(pass_fds, arguments=list(command[len(own):]), environment=env, session=True)
        return cast("asyncio.subprocess.Process", _Child(pid))

    def spawn(self, path: bytes, arguments: Sequence[str], fds: Sequence[int]) -> int:
        """In place of `multiprocessing.util.spawnv_passfds`, for all but the process that keeps semaphores."""
        code = next((one for one in arguments if isinstance(one, str) and one.startswith(_SPAWNED)), None)
        if code is None:
            pid: int = self._spawn(path, arguments, fds)
            return pid
        return self._child(sorted(set(fds)), arguments=["--multiprocessing-fork"], code=code,
                           environment=dict(os.environ), session=False)


def _adopt(on: int) -> None:
    """Whether orphans below this process become its children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, on, 0, 0, 0)


def _next_child(asked: socket.socket, command: int) -> dict[str, Any]:
    """The helper's whole life; it returns in each child, with the request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        octets, ancillary, _, _ = asked.recvmsg(1 << 18, socket.CMSG_SPACE(_FDS_MAX * 4))
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        if not octets:  # the command is gone
            os._exit(0)
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)
            return _begun(asked, command, marshal.loads(octets), fds)
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)


def _begun(asked: socket.socket, command: int, request: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    """In the child: descriptors, session and standard input as the command asked."""
    while os.getppid() != command:
        time.sleep(0.001)
    asked.send(str(os.getpid()).encode())
    asked.close()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, _HIGH) for fd in fds]
    for fd in fds:
        os.close(fd)
    for fd, number in zip(high, request["fds"], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    if request["session"]:
        os.setsid()
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
