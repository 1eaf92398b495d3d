"""Children of the relay: real processes that die, refuse to end, and are reaped. Truth: the kernel's table of them."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.frontends.processes import children
from gateway.frontends.processes.children import PARENT, Children, run_once
from gateway.frontends.processes.notify import Ear


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *arguments)


async def until(true: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    """Not even a zombie is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


WRITES = "import os,sys,time; print(os.getpid(), file=open(sys.argv[1], 'a')); time.sleep(float(sys.argv[2]))"


def test_who_dies_is_started_again_and_all_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "BACKOFF_S", (0.05, 0.1))
    short, long = tmp_path / "short", tmp_path / "long"

    async def live() -> None:
        kept = Children({"short": python(WRITES, str(short), "0"), "long": python(WRITES, str(long), "60")})
        kept.start()
        await until(lambda: len(lines(short)) >= 3 and len(lines(long)) == 1)
        await kept.stop()

    asyncio.run(live())
    assert all(gone(int(pid)) for pid in (*lines(short), *lines(long)))


def test_they_end_when_the_loop_ends(tmp_path: Path) -> None:
    long = tmp_path / "long"

    async def live() -> None:
        Children({"long": python(WRITES, str(long), "60")}).start()
        await until(lambda: len(lines(long)) == 1)

    asyncio.run(live())
    assert gone(int(lines(long)[0]))


def test_who_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "END_S", 0.3)
    deaf = tmp_path / "deaf"
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WRITES

    async def live() -> None:
        kept = Children({"deaf": python(program, str(deaf), "60")})
        kept.start()
        await until(lambda: len(lines(deaf)) == 1)
        await kept.stop()

    asyncio.run(live())
    assert gone(int(lines(deaf)[0]))


def test_a_program_that_is_not_there_harms_nobody(tmp_path: Path) -> None:
    long = tmp_path / "long"

    async def live() -> None:
        kept = Children({"none": (str(tmp_path / "nothing"),), "long": python(WRITES, str(long), "60")})
        kept.start()
        await until(lambda: len(lines(long)) == 1)
        await run_once((str(tmp_path / "nothing"),))
        await kept.stop()

    asyncio.run(live())


def test_sighup_is_passed_on(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    program = ("import signal,sys,time\n"
               "signal.signal(signal.SIGHUP, lambda *_: print('hup', file=open(sys.argv[1], 'a')))\n"
               "print('ready', file=open(sys.argv[1], 'a'))\n"
               "while True: time.sleep(0.1)")

    async def live() -> None:
        kept = Children({"one": python(program, str(heard))})
        kept.start()
        await until(lambda: lines(heard) == ["ready"])
        kept.reload()
        await until(lambda: lines(heard) == ["ready", "hup"])
        await kept.stop()

    asyncio.run(live())


def test_who_is_still_loading_hears_of_a_reload_when_it_is_ready(tmp_path: Path) -> None:
    """SIGHUP ends whoever has no handler for it yet; and what it has read by then may be the old settings."""
    heard = tmp_path / "heard"
    program = ("import os,signal,socket,sys,time\n"
               "print('loading', file=open(sys.argv[1], 'a'))\n"
               "time.sleep(0.5)\n"
               "signal.signal(signal.SIGHUP, lambda *_: print('hup', file=open(sys.argv[1], 'a')))\n"
               "with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:\n"
               "    s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
               "while True: time.sleep(0.1)")

    async def live() -> None:
        ear = Ear()
        ear.open()
        kept = Children({"one": python(program, str(heard))}, ear=ear)
        kept.start()
        await until(lambda: lines(heard) == ["loading"])
        for _ in range(3):
            kept.reload()
        await until(lambda: lines(heard) == ["loading", "hup"])
        await kept.stop()
        ear.close()

    asyncio.run(live())


def test_who_wants_no_watchdog_hears_of_a_reload_and_is_never_stuck(tmp_path: Path) -> None:
    """A process that leads a run of a million mails has minutes in which it gives no sign of life."""
    heard = tmp_path / "heard"
    program = ("import os,signal,socket,sys,time\n"
               "signal.signal(signal.SIGHUP, lambda *_: print('hup', file=open(sys.argv[1], 'a')))\n"
               "with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:\n"
               "    s.sendto(b'READY=1\\nWATCHDOG_USEC=0', os.environ['NOTIFY_SOCKET'])\n"
               "while True: time.sleep(0.1)")

    async def live() -> None:
        ear = Ear()
        ear.open()
        kept = Children({"one": python(program, str(heard))}, ear=ear, stuck_after_s=0.2)
        kept.start()
        await until(lambda: any(one.ready.is_set() for one in kept.everyone))
        await asyncio.sleep(0.5)
        assert not any(one.stuck for one in kept.everyone)
        kept.reload()
        await until(lambda: lines(heard) == ["hup"])
        await kept.stop()
        ear.close()

    asyncio.run(live())


def test_what_a_child_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd's notifications are the relay's, and Ctrl-C reaches the relay alone."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nothing")
    told = tmp_path / "told"
    program = ("import os,sys; print(os.environ.get('NOTIFY_SOCKET'), os.environ['" + PARENT + "'], "
               "os.getsid(0) == os.getpid(), file=open(sys.argv[1], 'w'))")
    asyncio.run(run_once(python(program, str(told))))
    assert lines(told) == ["None", str(os.getpid()), "True"]


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """The parent is killed, so that it can end nobody itself."""
    told = tmp_path / "told"
    inner = ("import os,sys,time; from gateway.frontends.processes.children import end_with_parent; end_with_parent(); "
             "print(os.getpid(), file=open(sys.argv[1], 'w')); time.sleep(60)")
    outer = (f"import os,subprocess,sys,time; os.environ['{PARENT}'] = str(os.getpid()); "
             "subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]); time.sleep(60)")

    async def live() -> None:
        parent = await asyncio.create_subprocess_exec(*python(outer, inner, str(told)), cwd=Path(__file__).parents[3])
        await until(lambda: len(lines(told)) == 1, 30)
        os.kill(parent.pid, signal.SIGKILL)
        await parent.wait()
        pid = int(lines(told)[0])
        await until(lambda: gone(pid) or " Z" in Path(f"/proc/{pid}/stat").read_text())

    asyncio.run(live())


ANSWERS = """
import os, signal, socket, sys
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
signal.signal(signal.SIGHUP, lambda *_: eval(sys.argv[1]))
say("READY=1")
while True: signal.pause()
"""
TROUBLE = 'X_TROUBLE={"reason": "config.invalid", "detail": "no such key", "retry": false}'


def test_a_reload_is_over_when_every_process_has_answered() -> None:
    """SIGHUP was sent and READY=1 said at once: the milter went on by the old rules for seconds more."""
    answers = {"good": "say('READY=1')", "bad": f"say('READY=1\\n{TROUBLE}')", "late": "None", "dies": "os._exit(3)"}

    async def live() -> dict[str, GatewayError]:
        ear = Ear()
        ear.open()
        kept = Children({name: python(ANSWERS, answer) for name, answer in answers.items()}, ear=ear)
        kept.start()
        await until(lambda: len(kept.everyone) == 4 and all(one.ready.is_set() for one in kept.everyone))
        kept.reload()
        troubles = await kept.reloaded(3.0)
        await kept.stop()
        ear.close()
        return troubles

    troubles = asyncio.run(live())
    assert {name: trouble.detail for name, trouble in troubles.items()} == {
        "bad": "no such key", "late": "no answer within 3 s"}
