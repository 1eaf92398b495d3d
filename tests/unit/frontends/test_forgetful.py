"""Processes that forget: what they freed is looked for in their memory. Truth: the kernel's
view of it, /proc/PID/mem.

What stays on a stack once the call is over is part of that.
"""

import asyncio
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from gateway.frontends.processes import memory_protection as forgetful
from gateway.frontends.processes.children import Children
from tests.support import memory

_PR_GET_DUMPABLE = 3  # prctl.h
PLANTED = "Zwetschgendatschi-4711"

# What becomes of a text in a program: parsed, copied, turned, written, looked up; and then all of it is let go.
WORKS = """
import base64, gc, hashlib, hmac, json, os, re
kept = []
def work(octets):
    text = json.loads(octets)["code"]
    mail = f"Your code is {text}, {text.upper()}"
    hmac.new(b"k" * 32, mail.encode(), "sha256").digest()
    base64.b64encode(mail.encode()); re.sub("code", text, mail); mail.encode("utf-16"); json.dumps({text: mail})
    if KEEP:
        kept.append(text)
work(os.read(0, 65536))
gc.collect()
if CLEAR:
    from gateway.frontends.processes.memory_protection import clear_stack
    clear_stack()
os.write(1, b"done")
os.read(0, 1)
"""


@contextmanager
def working(environment: Mapping[str, str], *, keep: bool = False) -> Iterator[int]:
    program = WORKS.replace("KEEP", str(keep)).replace("CLEAR", str("GLIBC_TUNABLES" in environment))
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env={**os.environ, **environment})
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f'{{"code": "{PLANTED}"}}'.encode())
        process.stdin.flush()
        assert process.stdout.read(4) == b"done"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not memory.readable(), reason="needs root, or a kernel that lets parents read their children")
def test_what_was_let_go_is_gone() -> None:
    with working(forgetful.ENVIRONMENT) as pid:
        assert memory.found(pid, [PLANTED, PLANTED.upper()]) == {}


@pytest.mark.skipif(not memory.readable(), reason="needs root, or a kernel that lets parents read their children")
def test_the_search_finds_what_is_kept_and_what_others_let_go() -> None:
    """Else the test above shows nothing."""
    with working(forgetful.ENVIRONMENT, keep=True) as pid:
        assert PLANTED in memory.found(pid, [PLANTED])
    with working({"PYTHONMALLOC": "pymalloc"}) as pid:
        assert PLANTED in memory.found(pid, [PLANTED])


def test_started_anew_it_is_the_same_process_and_forgets() -> None:
    program = ("import os, sys; from gateway.frontends.processes import memory_protection as forgetful; "
               "print(os.getpid(), flush=True); "
               "forgetful.start_anew(['--version'])")
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={k: v for k, v in os.environ.items() if k not in forgetful.ENVIRONMENT})
    assert told.stdout.splitlines()[1].startswith("sealgate ")
    again = subprocess.run([sys.executable, "-c", program + "; print('stays', forgetful.forgets())"],
                           capture_output=True, text=True, check=True, env={**os.environ, **forgetful.ENVIRONMENT})
    assert again.stdout.splitlines()[1] == "stays True"


def test_no_core_and_nobody_looks_in() -> None:
    """By the kernel's own answer, in a process of its own: this one shall leave a core if it must."""
    program = ("import ctypes, resource; from gateway.frontends.processes import memory_protection as forgetful; "
               "forgetful.no_core(); "
               f"print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl({_PR_GET_DUMPABLE}))")
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "(0, 0) 0"
    assert ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE) == 1


def test_one_child_has_more_environment_than_the_others(tmp_path) -> None:
    program = ("import os, sys, time; open(sys.argv[1], 'w').write(os.environ.get('GLIBC_TUNABLES', '-')); "
               "time.sleep(60)")
    files = {name: tmp_path / name for name in ("api", "jobs")}

    async def live() -> None:
        kept = Children({name: (sys.executable, "-c", program, str(file)) for name, file in files.items()},
                        own={"api": forgetful.ENVIRONMENT})
        kept.start()
        for _ in range(1000):
            if all(file.exists() and file.read_text() for file in files.values()):
                break
            await asyncio.sleep(0.02)
        await kept.stop()

    asyncio.run(live())
    assert files["api"].read_text() == forgetful.ENVIRONMENT["GLIBC_TUNABLES"]
    assert files["jobs"].read_text() != forgetful.ENVIRONMENT["GLIBC_TUNABLES"]
