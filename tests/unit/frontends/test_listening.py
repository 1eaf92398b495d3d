"""Listening sockets: bound, taken from systemd, handed on. Truth: the kernel, and sd_listen_fds(3)."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.cli.context import exit_code
from gateway.errors import GatewayError, Reason
from gateway.frontends.processes.sockets import bound, handed_on
from gateway.settings import Listener

ROOT = Path(__file__).parents[3]


def listener(port: int, host: str = "127.0.0.1", name: str = "world") -> Listener:
    return Listener(name=name, role="inbound", host=host, port=port)


def closed(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def test_until_somebody_accepts_nobody_is_connected() -> None:
    """A port that answers before there is a worker would take connections that nobody may ever serve."""
    (one,) = bound(listener(0))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(one.getsockname(), timeout=5)
    one.listen()
    socket.create_connection(one.getsockname(), timeout=5).close()
    closed(one)


def test_a_name_with_two_addresses_is_two_sockets() -> None:
    """As long as this machine has ::1, localhost is both, and each of its own family only (RFC 3493 5.3)."""
    found = bound(listener(0, "localhost"))
    expected = {one[4][0] for one in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    assert {one.getsockname()[0] for one in found} == expected
    for one in found:
        if one.family == socket.AF_INET6:
            assert one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    closed(*found)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_cannot_be_had_is_told(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(GatewayError) as trouble:
            bound(listener(port, host))
    assert trouble.value.reason is Reason.CONFIG_INVALID
    assert trouble.value.detail.startswith(f"listeners: world: {host}:{port}: ")
    assert "None" not in trouble.value.detail


def test_a_port_that_another_program_holds_may_be_free_later() -> None:
    """A second supervisor, started at once after a crash, met the workers of the first, and ended with the exit code

    for wrong settings, after which a service manager may give up.
    """
    with socket.create_server(("127.0.0.1", 0)) as other:
        held = listener(other.getsockname()[1])
        with pytest.raises(GatewayError) as trouble:
            bound(held, time.monotonic() + 0.3)
        assert trouble.value.retry
        assert exit_code(trouble.value) == 75
        threading.Timer(0.5, other.close).start()
        closed(*bound(held, time.monotonic() + 30))
    with pytest.raises(GatewayError) as trouble:
        bound(listener(0, "192.0.2.1"), time.monotonic() + 30)  # nobody's address: at once, and for good
    assert exit_code(trouble.value) == 2


TAKE = """
import os, sys
from gateway.frontends.processes.sockets import from_systemd
from gateway.settings import Listener
for number, descriptor in enumerate(map(int, sys.argv[3:])):
    os.dup2(descriptor, 3 + number)
os.environ.update(LISTEN_PID=sys.argv[1] or str(os.getpid()), LISTEN_FDS=str(len(sys.argv) - 3),
                  LISTEN_FDNAMES=sys.argv[2])
listeners = [Listener(name=name, role="inbound", host="127.0.0.1", port=int(port))
             for name, port in (pair.split("=") for pair in os.environ["LISTENERS"].split())]
given = from_systemd(listeners)
print({name: [one.getsockname()[1] for one in several] for name, several in given.items()},
      "LISTEN_FDS" in os.environ, any(os.get_inheritable(one.fileno()) for some in given.values() for one in some))
"""


def take(sockets: list[socket.socket], names: str, listeners: str, pid: str = "") -> "subprocess.CompletedProcess[str]":
    """What a process makes of these; they stand at free descriptors from 20 on, out of the way of 3 and 4."""
    moved = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 20) for one in sockets]
    try:
        return subprocess.run(
            [sys.executable, "-c", TAKE, pid, names, *map(str, moved)], cwd=ROOT, check=False, capture_output=True,
            text=True, pass_fds=moved, env={**os.environ, "LISTENERS": listeners})
    finally:
        for one in moved:
            os.close(one)


def test_systemds_sockets_by_name_and_by_port() -> None:
    one, two = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    first, second = one.getsockname()[1], two.getsockname()[1]
    named = take([one, two], "bank:world", "world=1 bank=2")
    assert named.stdout == f"{{'bank': [{first}], 'world': [{second}]}} False False\n", named.stderr
    ported = take([one, two], "sealgate.socket:sealgate.socket", f"world={second} bank={first}")
    assert ported.stdout == f"{{'bank': [{first}], 'world': [{second}]}} False False\n", ported.stderr
    both = take([one, two], "world:world", "world=1")
    assert both.stdout == f"{{'world': [{first}, {second}]}} False False\n", both.stderr
    closed(one, two)


def test_sockets_of_another_process_are_not_ours() -> None:
    """LISTEN_PID names whom they are for (sd_listen_fds(3)); a child may inherit the variables."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert take([one], "world", "world=1", pid="1").stdout == "{} True False\n"


def test_a_socket_of_no_listener_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        refused = take([one], "sealgate.socket", "world=1")
    assert "config.invalid" in refused.stderr
    assert "a socket that no listener has" in refused.stderr


def test_what_is_handed_on_is_what_is_inherited() -> None:
    one, two = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    environment, descriptors = handed_on({"bank": [one], "world": [two]})
    program = ("import os; from gateway.frontends.processes.sockets import inherited; given = inherited(); "
               "print({name: [one.getsockname()[1] for one in some] for name, some in given.items()}, inherited())")
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True,
                          pass_fds=descriptors, env={**os.environ, **environment})
    assert told.stdout == f"{{'bank': [{one.getsockname()[1]}], 'world': [{two.getsockname()[1]}]}} None\n"
    closed(one, two)
