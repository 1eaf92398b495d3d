"""Whatever a process writes to standard error is one JSON line each: libraries, threads and warnings too.

Truth: "one line per message, JSON ... no secrets" of `frontends.logs`; a monitor that reads the log must not stumble
over what asyncio or urllib3 say for themselves, and their words may quote a mail.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.frontends.telemetry.logs import configure, log

SECRET = "TAN-5512-Zebra"

BEGIN = """
import asyncio, logging, threading, warnings
from gateway.frontends.telemetry.logs import configure, own_process
configure("info")
own_process()
def fail():
    raise ValueError("TAN-5512-Zebra")
def worker():
    fail()
class Last:
    def __del__(self):
        fail()
async def lost():
    asyncio.get_running_loop().call_exception_handler({"message": "TAN-5512-Zebra", "exception": ValueError("x")})
"""


def written(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "always", "-c", BEGIN + code], capture_output=True, text=True,
                          check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("code", "event"), [
    ("asyncio.run(lost())", "library.warning"),
    ("logging.getLogger('urllib3.connection').warning('Failed to parse headers (url=%s)', 'TAN-5512-Zebra')",
     "library.warning"),
    ("warnings.warn('TAN-5512-Zebra')", "library.warning"),
    ("one = threading.Thread(target=worker); one.start(); one.join()", "internal.error"),
    ("Last()", "internal.error"),
    ("fail()", "internal.error"),
])
def test_what_others_say_is_one_line_each_without_their_words(code: str, event: str) -> None:
    lines = written(code).splitlines()
    assert [json.loads(line)["event"] for line in lines] == [event]
    assert SECRET not in lines[0]
    assert ":" in json.loads(lines[0])["where"], "one can look it up"


def test_what_libraries_tell_below_a_warning_is_nobodys_business() -> None:
    assert written("logging.getLogger('pkcs11').info('TAN-5512-Zebra'); logging.getLogger('x').debug('y')") == ""


def test_a_child_of_the_relay_tells_its_end_in_the_relays_log(tmp_path: Path) -> None:
    """`sealgate http` whose port is taken, for one; by hand the same is told to people."""
    command = [sys.executable, "-m", "gateway", "--config", str(tmp_path / "none.yaml"), "jobs"]
    by_hand = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "none.yaml" in by_hand.stderr
    assert not by_hand.stderr.startswith("{")
    child = subprocess.run(command, capture_output=True, text=True, check=False,
                           env={**os.environ, "SEALGATE_PARENT": str(os.getpid())})
    (line,) = child.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("process.output", "error")
    assert told["text"] == by_hand.stderr.rstrip("\n")
    assert child.stdout == ""


UNWRITABLE = """
import sys
from gateway.frontends.telemetry import logs
log = logs.log
class Stream:
    def __init__(self): self.full, self.lines = True, []
    def write(self, text):
        if self.full: raise OSError(28, "No space left on device")
        self.lines.append(text)
    def flush(self): pass
"""


def test_a_line_that_cannot_be_written_is_dropped_and_the_number_is_reported_later() -> None:
    """Attack of a trial: a full disk ended every worker for good. Truth: POSIX ENOSPC, as of /dev/full."""
    out = subprocess.run([sys.executable, "-c", BEGIN + UNWRITABLE + """
kept, sys.stderr = sys.stderr, Stream()
log.info("a"); log.critical("b"); logs.log_unexpected(log, ValueError("x"))
sys.stderr.full = False
log.info("c"); log.info("d")
print("".join(sys.stderr.lines))
"""], capture_output=True, text=True, check=True).stdout
    told = [json.loads(line) for line in out.splitlines() if line]
    assert [one["event"] for one in told] == ["c", "log.lines_dropped", "d"]
    assert told[1]["lines"] == 3


@pytest.mark.parametrize("stream", ["/dev/full", "closed pipe", "closed"])
def test_no_way_of_losing_standard_error_raises(stream: str) -> None:
    code = BEGIN + """
from gateway.frontends.telemetry.logs import log, log_unexpected
import sys
if sys.argv[1] == "closed": sys.stderr = None
for number in range(2000):
    log.critical("worker.exited", pid=number)
log_unexpected(log, ValueError())
print("went on", flush=True)
"""
    reading, writing = os.pipe()
    with Path("/dev/full" if stream == "/dev/full" else os.devnull).open("wb") as file:
        os.close(reading)
        done = subprocess.run([sys.executable, "-c", code, stream], stdout=subprocess.PIPE, check=False,
                              stderr=writing if stream == "closed pipe" else file)
        os.close(writing)
    assert done.stdout == b"went on\n"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_has_stopped_holds_nobody_up(kind: str) -> None:
    """Truth: pipe(7), unix(7): a write blocks where the reader does not read; journald and `| logger` are such."""
    code = BEGIN + """
from gateway.frontends.telemetry.logs import log
import sys, time
began = time.monotonic()
for number in range(3000):
    log.critical("worker.exited", pid=number, why="x" * 300)
print(time.monotonic() - began, flush=True)
sys.stdin.readline()
log.info("again")
"""
    with _ends(kind) as (reading, writing), subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writing) as process:
        writing.close()
        assert process.stdin is not None
        assert process.stdout is not None
        took, _, _ = select.select([process.stdout], [], [], 30)
        if not took:
            process.kill()
        assert took, "the process waits for the reader of its log"
        assert float(process.stdout.readline()) < 15
        held = bytearray()
        reader = threading.Thread(target=_read_all, args=(reading, held))
        reader.start()
        read = 0
        while len(held) != read or not read:  # all that was kept for the reader
            read = len(held)
            time.sleep(0.1)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(30) == 0
        reader.join()
    lines = held.decode().splitlines()
    told = [json.loads(line) for line in lines if line.endswith("}")]
    assert len(lines) - len(told) <= 1, "one line was cut, and the next one began anew"
    assert [one["event"] for one in told[-2:]] == ["again", "log.lines_dropped"]
    assert told[-1]["lines"] > 1000


@contextmanager
def _ends(kind: str) -> Iterator[tuple[Any, Any]]:
    if kind == "socket":
        one, other = socket.socketpair()
        with one, other:
            yield one, other
        return
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as target:
        yield source, target


def _read_all(source: Any, into: bytearray) -> None:
    while octets := os.read(source.fileno(), 65_536):
        into += octets


def test_a_value_that_cannot_be_rendered_does_not_raise() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("x")

    configure("info")
    try:
        log.info("a", value=Broken())
    finally:
        structlog.reset_defaults()
