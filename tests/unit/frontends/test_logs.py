"""Whatever a process writes to standard error is one JSON line each: libraries, threads and warnings too.

Truth: "one line per message, JSON ... no secrets" of `frontends.logs`; a monitor that reads the log must not stumble
over what asyncio or urllib3 say for themselves, and their words may quote a mail.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "TAN-5512-Zebra"

BEGIN = """
import asyncio, logging, threading, warnings
from gateway.frontends.logs import configure, own_process
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
    ("asyncio.run(lost())", "library"),
    ("logging.getLogger('urllib3.connection').warning('Failed to parse headers (url=%s)', 'TAN-5512-Zebra')",
     "library"),
    ("warnings.warn('TAN-5512-Zebra')", "library"),
    ("one = threading.Thread(target=worker); one.start(); one.join()", "surprise"),
    ("Last()", "surprise"),
    ("fail()", "surprise"),
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
    assert (told["event"], told["level"]) == ("said", "error")
    assert told["text"] == by_hand.stderr.rstrip("\n")
    assert child.stdout == ""
