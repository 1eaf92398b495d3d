"""Runs `sealgate` commands of tests in processes that are forked from one that has loaded the gateway.

A command costs 0.05 s of CPU so, and 0.7 to 1.1 s where it loads the gateway itself. `prefix()` stands in place of
`(sys.executable, "-m", "gateway")`: a small launcher that hands its arguments, directory, environment and standard
streams to the server, passes signals on, and ends with the command's exit code.

It is for commands that are a means of a test. Where the process itself is the subject (its memory, its process id, its
children, its start), a test starts the real one. Environment that Python or C read at their start does not count here.
"""

import array
import atexit
import gc
import json
import marshal
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any, Final

import gateway
from gateway.cli.main import main
from gateway.distribution import own_command
from gateway.frontends.telemetry.metrics import VARIABLE
from tests.support import forked_children
from tests.support.peers import scratch

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = "COMMAND_SERVER_PYTHON"  # environment: what a forked command takes for its interpreter
_WITH_CHILDREN: Final = frozenset({"run", "runs", "statements"})  # commands
CONSTANTS: Final = "COMMAND_SERVER_CONSTANTS"  # environment: JSON, "gateway.module.NAME_S" to its value there
LAUNCHER: Final = Path(__file__).with_name("command_launcher.py")


def prefix() -> tuple[str, ...]:
    """The command that takes the arguments of `sealgate`."""
    return sys.executable, "-I", "-S", str(LAUNCHER), str(_server())


@cache
def _server() -> Path:
    """The socket of this test process's server, which the first call starts."""
    place = scratch("commands") / "socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen(64)  # the first command waits here while the server loads
    ours, theirs = socket.socketpair()
    program = ("from tests.support.command_server import serve; "
               f"serve({listener.fileno()}, {theirs.fileno()})")
    server = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.DEVNULL,
        pass_fds=(listener.fileno(), theirs.fileno()), env={**os.environ, "PYTHONPATH": str(ROOT)})
    listener.close()
    theirs.close()

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return place


def executable(path: Path) -> None:
    """Writes `sealgate` as a program for shells."""
    path.write_text(f'#!/bin/sh\nexec {" ".join(prefix())} "$@"\n')
    path.chmod(0o755)


def python(path: Path) -> Path:
    """Writes a program that forks the gateway's own command, but for `run`; Python does all else. See `PYTHON`."""
    options = own_command()[1:]
    path.write_text(f'#!/bin/sh\ncase "$*" in\n"{" ".join(options)} "*" run") ;;\n'
                    f'"{" ".join(options)} "*) shift {len(options)}; exec {" ".join(prefix())} "$@";;\nesac\n'
                    f'exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


class ForkedService:
    """A command that goes on, such as `run`, `http` or `milter`: what tests use of `subprocess.Popen`.

    The processes that `run` starts are forked too (forked_children.py), and are its children.
    """

    def __init__(self, arguments: Sequence[str | Path], *, output: int, environment: Mapping[str, str]) -> None:
        """`output`: the descriptor of standard output and error."""
        self.args = tuple(map(str, arguments))
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(_server()))
        request = marshal.dumps({"arguments": list(self.args), "directory": str(ROOT),
                                 "environment": dict(environment)})
        with Path(os.devnull).open("rb") as null:
            socket.send_fds(self._connection, [b"%d\n" % len(request)], [null.fileno(), output, output])
        self._connection.sendall(request)
        self._read = b""
        self.pid = int(self._line(None) or 0)

    def _line(self, timeout: float | None) -> bytes | None:
        """The server's next line; None if there is none yet."""
        self._connection.settimeout(timeout)
        try:
            while b"\n" not in self._read:
                octets = self._connection.recv(100)
                if not octets:
                    raise ConnectionError("the command server has ended")
                self._read += octets
        except (TimeoutError, BlockingIOError):
            return None
        line, _, self._read = self._read.partition(b"\n")
        return line

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and (line := self._line(timeout)) is not None:
            self.returncode = int(line)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """To one that has ended, nothing."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve(listener_fd: int, alive_fd: int) -> None:
    """The server's whole life: until its test process is gone."""
    _load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    served = _Server(socket.socket(fileno=listener_fd), socket.socket(fileno=alive_fd))
    request = served.next_command()
    if request is not None:
        _become(request)


def _load() -> None:
    """All of the gateway but its programs and migrations: what a command loads late is loaded here too."""
    gc.disable()
    os.environ[VARIABLE] = os.devnull  # read at the import; the processes write to their own directories
    for module in walk_packages(gateway.__path__, "gateway."):
        if not module.name.endswith(("__main__", "_child")) and ".migrations" not in module.name:
            with suppress(ImportError):  # an optional library is missing
                import_module(module.name)
    del os.environ[VARIABLE]
    gc.freeze()


class _Server:
    """One thread. Forks a process for each connection, and answers with its exit code."""

    def __init__(self, listener: socket.socket, alive: socket.socket) -> None:
        self._listener, self._alive = listener, alive
        self._running: dict[int, tuple[int, socket.socket]] = {}  # pidfd to process id and connection
        self._watched = selectors.DefaultSelector()
        for one in (listener, alive):
            self._watched.register(one, selectors.EVENT_READ)

    def next_command(self) -> dict[str, Any] | None:
        """In a forked process the request that it has to carry out; in the server None, at its end."""
        while True:
            for key, _ in self._watched.select():
                if key.fileobj is self._alive:
                    for pidfd in self._running:
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    return None
                if key.fileobj is self._listener:
                    request = self._begin()
                    if request is not None:
                        return request
                elif isinstance(key.fileobj, socket.socket):
                    self._abandoned(key.fileobj)
                else:
                    self._ended(key.fd)

    def _begin(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        try:
            request, fds = _received(connection)
        except (OSError, ValueError):  # the launcher was killed meanwhile
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            for number, fd in enumerate(fds):
                os.dup2(fd, number)
            for fd in fds:
                os.close(fd)
            return request
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._running[pidfd] = pid, connection
        for one in (pidfd, connection):
            self._watched.register(one, selectors.EVENT_READ)
        with suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
        return None

    def _leave(self, connection: socket.socket) -> None:
        """What is the server's alone is closed in the forked process."""
        self._watched.close()
        for pidfd, (_, other) in self._running.items():
            os.close(pidfd)
            other.close()
        for one in (self._listener, self._alive, connection):
            one.close()

    def _abandoned(self, connection: socket.socket) -> None:
        """The launcher is gone: its command ends as it did."""
        self._watched.unregister(connection)
        for pidfd, (_, other) in self._running.items():
            if other is connection:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _ended(self, pidfd: int) -> None:
        pid, connection = self._running.pop(pidfd)
        self._watched.unregister(pidfd)
        os.close(pidfd)
        with suppress(KeyError, ValueError):
            self._watched.unregister(connection)
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        connection.close()


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The request as the launcher sends it: length, line feed, marshalled dictionary; and three descriptors."""
    fds = array.array("i")
    octets, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(3 * fds.itemsize))
    for _, _, data in ancillary:
        fds.frombytes(data)
    length, _, octets = octets.partition(b"\n")
    while len(octets) < int(length):
        more = connection.recv(1 << 16)
        if not more:
            raise ValueError("the launcher ended early")
        octets += more
    request: dict[str, Any] = marshal.loads(octets)
    return request, list(fds)


def _become(request: dict[str, Any]) -> None:
    """The forked process becomes `python -m gateway …`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.executable = os.environ.pop(PYTHON, sys.executable)
    for name, value in json.loads(os.environ.get(CONSTANTS, "{}")).items():
        module, _, constant = name.rpartition(".")
        assert hasattr(import_module(module), constant)
        setattr(import_module(module), constant, value)
    unbuffered = "PYTHONUNBUFFERED" in os.environ
    for name, fd, mode, errors in (("stdin", 0, "r", "strict"), ("stdout", 1, "w", "strict"),
                                   ("stderr", 2, "w", "backslashreplace")):
        stream = os.fdopen(fd, mode, 1 if fd == 2 or unbuffered else -1, "utf-8", errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if _WITH_CHILDREN.intersection(request["arguments"]):
        forked_children.install(_become)
    module = ModuleType("__main__")
    module.__spec__ = find_spec("gateway.__main__")
    module.__package__, module.__file__ = "gateway", str(ROOT / "gateway" / "__main__.py")
    sys.modules["__main__"] = module
    sys.argv = [module.__file__, *request["arguments"]]
    os._exit(_run(request.get("code")))


def _run(program: str | None) -> int:
    """`main` or a program in Python, and what Python does at the end; not taking 2,000 modules apart saves 0.1 s."""
    code: object = 0
    try:
        if program is None:
            main()
        else:
            exec(program, {})
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - Python would report it and exit 1
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1
