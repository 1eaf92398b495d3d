"""Where the milter's socket cannot be had: place and remedy. Truth: the kernel's own refusals."""

import socket
from contextlib import closing

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.milter import listen
from gateway.settings import Milter


def refused(at: str) -> str:
    with pytest.raises(GatewayError) as caught:
        listen.listen(Milter(socket=at))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert caught.value.detail.startswith(f"milter.socket: {at}: ")
    return caught.value.detail


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(listen, "TAKEN_S", 0.0)


def test_a_port_in_use():
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        assert "another program uses the address" in refused(f"inet:{other.getsockname()[1]}@127.0.0.1")


def test_a_path_that_cannot_be_had(tmp_path):
    assert "create the directory" in refused(f"unix:{tmp_path}/none/milter.sock")
    (tmp_path / "file").write_text("theirs")
    assert "is not a socket" in refused(f"unix:{tmp_path}/file")
    assert (tmp_path / "file").read_text() == "theirs"
    with closing(listen.listen(Milter(socket=f"unix:{tmp_path}/milter.sock"))):
        assert "another program uses the address" in refused(f"unix:{tmp_path}/milter.sock")


def test_what_a_dead_program_has_left_is_taken(tmp_path):
    at = f"unix:{tmp_path}/milter.sock"
    listen.listen(Milter(socket=at)).close()
    listen.listen(Milter(socket=at)).close()
