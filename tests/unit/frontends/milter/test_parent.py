"""The milter's parent while no worker can serve. Truth: the kernel, seen from the side of Postfix.

A connection that is accepted and closed makes Postfix answer by `default_action` at once (milter(5)); one that nobody
accepts makes it wait for its time-out.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import os, select, socket, sys
from gateway.frontends.telemetry.logs import configure
from gateway.frontends.milter import parent
configure("info")
parent.BEAT_S = 0.05
parent.OUTAGE_S = 0.1
listening = socket.create_server(("127.0.0.1", 0))
listening.setblocking(False)
started = []
def work(number, control):
    if os.path.exists(sys.argv[1]):  # later workers do not start
        raise RuntimeError
    open(sys.argv[1], "w").close()
    control.send(parent.READY)
    select.select([listening], [], [])
    listening.accept()[0].close()
    os._exit(3)
if sys.argv[2] == "no fork":
    real, forks = os.fork, []
    def fork():
        forks.append(1)
        if len(forks) > 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real()
    os.fork = fork
if sys.argv[2] == "no descriptor":
    made, pairs = socket.socketpair, []
    def pair():
        pairs.append(1)
        if len(pairs) > 2:  # its own, and that of the first worker
            raise OSError(24, "Too many open files")
        return made()
    socket.socketpair = pair
print(listening.getsockname()[1], flush=True)
parent.Parent(lambda: (1, work), 60, 5, listening).run()
"""


@pytest.mark.parametrize("why", ["dies", "no fork", "no descriptor"])
def test_while_no_worker_can_start_connections_are_closed_at_once(tmp_path: Path, why: str) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "started"), why]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        port = int(parent.stdout.readline())
        while "milter.ready" not in parent.stderr.readline():
            assert parent.poll() is None
        socket.create_connection(("127.0.0.1", port), timeout=30).close()  # ends the worker
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as postfix:
                assert postfix.recv(1) == b""
        line = "begins"
        while "worker.not_started" not in line and "worker.failed" not in line:
            assert line, "it has ended"
            line = parent.stderr.readline()
        assert parent.poll() is None
        os.kill(parent.pid, signal.SIGTERM)
        assert parent.wait(30) == 0
