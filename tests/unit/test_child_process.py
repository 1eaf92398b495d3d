"""A child that was killed is another thing than one that ended by itself. Truth: signals, sent to real processes."""

import signal
import time
from pathlib import Path

import pytest
import structlog

from gateway.child_process import ChildProcess, ChildProcesses, KilledError

_CHILD = """
import os, signal, socket, struct, sys
channel = socket.socket(fileno=0)
def frame():
    head = channel.recv(4, socket.MSG_WAITALL)
    return channel.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL) if head else b""
counts = frame().decode()
while question := frame():
    with open(counts, "a") as file:
        file.write(".")
    times, number = map(int, question.split())
    if os.path.getsize(counts) <= times:
        os.kill(os.getpid(), number) if number else sys.exit(3)
    channel.sendall(struct.pack(">I", 2) + b"ok")
"""


@pytest.fixture
def ask(tmp_path: Path):
    """Asks a child that dies the first `times` times by signal `number`; 0: it ends by itself."""
    program, counts = tmp_path / "child.py", tmp_path / "counts"
    program.write_text(_CHILD)
    children = ChildProcesses(1)

    def asks(times: int, number: int) -> bytes:
        counts.write_text("")
        return children.ask(lambda: ChildProcess(program, str(counts).encode(), 9, {}),
                            b"%d %d" % (times, number), time.monotonic() + 10)

    yield asks
    children.close()


def test_one_that_was_killed_is_replaced_once(ask) -> None:
    with structlog.testing.capture_logs() as lines:
        assert ask(1, signal.SIGKILL) == b"ok"
    assert [(line["event"], line["program"], line["signal"]) for line in lines] == [
        ("child.killed", "child.py", signal.SIGKILL)]


def test_a_question_that_always_ends_so_is_given_up_by_name(ask) -> None:
    with pytest.raises(KilledError) as caught:
        ask(9, signal.SIGKILL)
    assert (caught.value.signal, caught.value.from_outside) == (signal.SIGKILL, True)
    assert "signal 9" in str(caught.value)


def test_one_that_crashes_over_a_question_is_not_asked_again(ask) -> None:
    with pytest.raises(KilledError) as caught:
        ask(1, signal.SIGABRT)
    assert not caught.value.from_outside


def test_one_that_ends_by_itself_was_not_killed(ask) -> None:
    with pytest.raises(EOFError) as caught:
        ask(1, 0)
    assert not isinstance(caught.value, KilledError)
