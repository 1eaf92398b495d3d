"""The demo's gateway belongs to the demo: it is never taken for another's, and ends with it."""

import os
import signal
import socket
import threading

import pytest

from gateway.demo.bank import Ports, open_bank
from gateway.demo.process import running
from gateway.errors import GatewayError
from tests.support.process import free_ports


def greet(server):
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"220 another\r\n")


def test_somebody_else_at_its_port_is_not_taken_for_it(tmp_path):
    (outbound,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        inbound = other.getsockname()[1]
        greeter = threading.Thread(target=greet, args=(other,))
        greeter.start()
        bank = open_bank(tmp_path / "home", Ports(outbound=outbound, inbound=inbound))
        with pytest.raises(GatewayError, match=f"port {inbound}: Address already in use"), running(bank):
            pytest.fail("it started")
        greeter.join(30)


def test_a_sigterm_ends_the_gateway_too(tmp_path):
    outbound, sink, inbound = free_ports(3)
    bank = open_bank(tmp_path / "home", Ports(outbound, sink, inbound))
    before = signal.getsignal(signal.SIGTERM)
    started = []

    def until_sigterm():
        with running(bank) as gateway:
            started.append(gateway)
            os.kill(os.getpid(), signal.SIGTERM)
            gateway.wait(30)

    with pytest.raises(SystemExit) as ended:
        until_sigterm()
    assert ended.value.code == 128 + signal.SIGTERM
    assert started[0].poll() is not None
    assert signal.getsignal(signal.SIGTERM) == before
