"""Workers that do not start, die, hang, or want to be replaced: what the crew makes of it.

The workers are small real processes that speak sd_notify's protocol. Truth: the kernel's table of processes.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.processes import worker_pool as crew_module
from gateway.frontends.processes.notify import Ear
from gateway.frontends.processes.process import Process
from gateway.frontends.processes.sockets import Unavailable
from gateway.frontends.processes.worker_pool import WorkerPool

BEGIN = """
import os, signal, socket, sys, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
number, count = int(sys.argv[1]), int(sys.argv[2])
home = sys.argv[3]
"""
ENDS = """
def end(*_):
    say("STOPPING=1")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGUSR2, end)
"""
GOOD = BEGIN + ENDS + "say('READY=1')\nwhile True: signal.pause()"


class Launcher:
    """Starts `program` of a number and of how many were started before; keeps all that it started."""

    def __init__(self, ear: Ear, home: Path, program: Callable[[int, int], str]) -> None:
        self.started: list[Process] = []
        self._ear, self._home, self._program = ear, home, program

    async def __call__(self, number: int, environment: Mapping[str, str], fds: Sequence[int]) -> Process:
        count = len(self.started)
        process = await Process.start(
            f"one {number}", (sys.executable, "-S", "-c", self._program(number, count), str(number), str(count),
                              str(self._home)), ear=self._ear, environment=environment, fds=fds, stuck_after_s=0.5)
        self.started.append(process)
        return process

    @property
    def living(self) -> list[int]:
        return [one.pid for one in self.started if alive(one.pid)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is waited for is no event of ours
            await asyncio.sleep(0.01)


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    one = Ear()
    one.open()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "BACKOFF_S", (0.05, 0.1))


async def over(worker_pool: WorkerPool) -> None:
    await worker_pool.retire()
    await worker_pool.ended()


async def test_all_are_ready_and_all_end(ear: Ear, tmp_path: Path) -> None:
    launch = Launcher(ear, tmp_path, lambda *_: GOOD)
    worker_pool = WorkerPool("relay", 3, launch, grace_s=10)
    await worker_pool.start()
    assert sorted(worker_pool.pids) == sorted(launch.living)
    assert len(worker_pool.pids) == 3
    await over(worker_pool)
    assert launch.living == []


@pytest.mark.parametrize("bad, detail", [
    ("say('X_TROUBLE={\"reason\": \"key.unavailable\", \"detail\": \"none.key\", \"retry\": false}')", "none.key"),
    ("os._exit(7)", "ended at its start with code 7"),
    ("os.kill(os.getpid(), 9)", "ended at its start with code -9"),
    ("signal.signal(15, signal.SIG_IGN); time.sleep(60)", "not ready after"),
])
@pytest.mark.parametrize("which", [0, 1])
async def test_if_one_does_not_start_none_is_left(ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  which: int, bad: str, detail: str) -> None:
    monkeypatch.setattr(crew_module, "START_S", 3.0)
    launch = Launcher(ear, tmp_path, lambda number, _: BEGIN + bad if number == which else GOOD)
    worker_pool = WorkerPool("relay", 3, launch, grace_s=10)
    with pytest.raises(GatewayError) as trouble:
        await worker_pool.start()
    assert detail in trouble.value.detail
    assert launch.living == []
    assert len(launch.started) == (1 if which == 0 else 3)  # the first finds out for all


async def test_a_program_that_is_not_there(ear: Ear) -> None:
    async def launch(*_: object) -> Process:
        return await Process.start("none", ("/nowhere/sealgate",), ear=ear)

    with pytest.raises(GatewayError) as trouble:
        await WorkerPool("relay", 2, launch, grace_s=1).start()
    assert trouble.value.reason is Reason.INTERNAL


async def test_one_that_dies_is_replaced_as_often_as_it_takes(ear: Ear, tmp_path: Path) -> None:
    """The two replacements that come first do not start."""
    launch = Launcher(ear, tmp_path, lambda _, count: BEGIN + "os._exit(3)" if count in (2, 3) else GOOD)
    worker_pool = WorkerPool("relay", 2, launch, grace_s=10)
    await worker_pool.start()
    victim, other = worker_pool.pids
    os.kill(victim, 9)
    await until(lambda: len(launch.started) == 5 and len(worker_pool.pids) == 2)
    assert victim not in worker_pool.pids
    assert other in worker_pool.pids
    await over(worker_pool)
    assert launch.living == []


async def test_one_that_is_silent_is_killed_and_replaced(ear: Ear, tmp_path: Path) -> None:
    """One of number 1 never says anything after READY=1; the other goes on."""
    speaks = BEGIN + ENDS + "say('READY=1')\nwhile True: time.sleep(0.05); say('WATCHDOG=1')"
    launch = Launcher(ear, tmp_path, lambda _, count: GOOD if count == 1 else speaks)
    worker_pool = WorkerPool("relay", 2, launch, grace_s=10)
    await worker_pool.start()

    def watched() -> bool:
        worker_pool.watch()
        return len(launch.started) == 3 and len(worker_pool.pids) == 2

    await until(watched)
    assert launch.started[1].over.result() == -9
    assert launch.started[0].pid in worker_pool.pids
    await over(worker_pool)


async def test_one_whose_threads_are_stuck_ends_after_its_successor_is_ready(ear: Ear, tmp_path: Path) -> None:
    stuck = BEGIN + """
def end(*_):
    open(home + "/told", "w").close()
    os._exit(0)
signal.signal(signal.SIGUSR2, end)
say('READY=1')
say('WATCHDOG=trigger')
while True: signal.pause()"""
    ready = BEGIN + ENDS + """
open(home + f"/{count}-ready", "w").write(str(os.path.exists(home + "/told")))
say("READY=1")
while True: signal.pause()"""
    launch = Launcher(ear, tmp_path, lambda _, count: stuck if count == 0 else ready)
    worker_pool = WorkerPool("relay", 1, launch, grace_s=10)
    await worker_pool.start()
    await until(lambda: (tmp_path / "told").exists() and worker_pool.pids == (launch.started[1].pid,))
    assert (tmp_path / "1-ready").read_text() == "False"
    await over(worker_pool)
    assert launch.living == []


async def test_retired_ones_take_nothing_any_more_and_finish(ear: Ear, tmp_path: Path) -> None:
    slow = BEGIN + """
def end(*_):
    say("STOPPING=1")
    while not os.path.exists(home + "/finished"): time.sleep(0.01)
    os._exit(0)
signal.signal(signal.SIGUSR2, end)
say('READY=1')
while True: signal.pause()"""
    launch = Launcher(ear, tmp_path, lambda *_: slow)
    worker_pool = WorkerPool("relay", 2, launch, grace_s=30)
    await worker_pool.start()
    await worker_pool.retire(replaced=True)
    assert len(launch.living) == 2
    (tmp_path / "finished").touch()
    await worker_pool.ended()
    assert launch.living == []
    assert [one.over.result() for one in launch.started] == [0, 0]


async def test_who_does_not_end_in_time_is_killed(ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "MARGIN_S", 0.2)
    deaf = BEGIN + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay('READY=1')\nwhile True: signal.pause()"
    launch = Launcher(ear, tmp_path, lambda *_: deaf)
    worker_pool = WorkerPool("relay", 1, launch, grace_s=0.2)
    await worker_pool.start()
    await over(worker_pool)
    assert launch.started[0].over.result() == -9


async def test_it_is_known_for_how_long_nobody_has_taken_mail(ear: Ear, tmp_path: Path) -> None:
    """What systemd's watchdog hangs on: while one of two lives all is well; of none, the time stands."""
    launch = Launcher(ear, tmp_path, lambda _, count: BEGIN + "os._exit(3)" if count >= 2 else GOOD)
    worker_pool = WorkerPool("relay", 2, launch, grace_s=10)
    await worker_pool.start()
    one, other = launch.started[:2]
    before = worker_pool.served_at
    os.kill(one.pid, 9)
    await one.over
    worker_pool.watch()
    assert worker_pool.served_at > before
    os.kill(other.pid, 9)
    await other.over
    await until(lambda: len(launch.started) > 4)
    before = worker_pool.served_at
    worker_pool.watch()
    assert worker_pool.served_at == before
    await over(worker_pool)
    assert launch.living == []


async def test_whose_signs_may_have_been_lost_gets_its_time_anew(ear: Ear, tmp_path: Path) -> None:
    """The supervisor stood still itself."""
    launch = Launcher(ear, tmp_path, lambda *_: GOOD)  # says nothing after READY=1
    worker_pool = WorkerPool("relay", 1, launch, grace_s=10)
    await worker_pool.start()
    (worker,) = worker_pool.everyone
    await until(lambda: worker.stuck)
    worker.forgive()
    worker_pool.watch()
    assert not worker.stuck
    assert alive(worker.pid)
    await over(worker_pool)


async def test_a_fault_in_the_keeper_does_not_leave_a_place_empty(ear: Ear, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk made the log raise, and every worker that died afterwards was missing for good."""
    class Log:
        def critical(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        def info(self, *_: object, **__: object) -> None:
            pass

    launch = Launcher(ear, tmp_path, lambda *_: GOOD)
    worker_pool = WorkerPool("relay", 2, launch, grace_s=10)
    await worker_pool.start()
    monkeypatch.setattr(crew_module, "log", Log())
    monkeypatch.setattr(crew_module, "log_unexpected", lambda *_, **__: None)
    victim = worker_pool.pids[0]
    os.kill(victim, 9)
    await until(lambda: len(worker_pool.pids) == 2 and victim not in worker_pool.pids and len(launch.living) >= 2)
    monkeypatch.undo()
    await over(worker_pool)
    assert launch.living == []


async def test_while_no_worker_can_start_clients_are_answered_421(ear: Ear, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5321 3.8 and 4.3.2: 421 in place of the greeting. On a port with TLS from the start: an end, no silence."""
    monkeypatch.setattr(crew_module, "OUTAGE_S", 0.0)
    listening = {name: [socket.create_server(("127.0.0.1", 0))] for name in ("clear", "tls")}
    for (one,) in listening.values():
        one.setblocking(False)
    healed = BEGIN + ENDS + "if count > 1 and not os.path.exists(home + '/healed'): os._exit(3)\n" + GOOD[len(BEGIN):]
    launch = Launcher(ear, tmp_path, lambda *_: healed)
    worker_pool = WorkerPool("relay", 2, launch, grace_s=10, outage=Unavailable(listening, {"clear"}).switch)
    await worker_pool.start()
    for pid in worker_pool.pids:
        os.kill(pid, 9)
    await until(lambda: worker_pool.pids == () and len(launch.started) > 3)
    worker_pool.watch()
    said = {}
    for name, (one,) in listening.items():
        reader, writer = await asyncio.open_connection(*one.getsockname())
        async with asyncio.timeout(30):
            said[name] = await reader.read()
        writer.close()
    assert said == {"clear": b"421 4.3.2 Service not available; come back later\r\n", "tls": b""}
    (tmp_path / "healed").touch()
    await until(lambda: len(worker_pool.pids) == 2)
    _, writer = await asyncio.open_connection(*listening["clear"][0].getsockname())  # waits for the worker now
    await asyncio.sleep(0)
    accepted, address = listening["clear"][0].accept()
    accepted.close()
    assert address == writer.get_extra_info("sockname")
    writer.close()
    await over(worker_pool)
    for (one,) in listening.values():
        one.close()


async def test_what_a_process_said_last_cannot_hide_its_end(ear: Ear, tmp_path: Path) -> None:
    """X_TROUBLE that cannot be read: the worker counts as ended all the same, and is replaced."""
    talks = BEGIN + ENDS + "say('READY=1')\nimport time\nsay('X_TROUBLE=no JSON')\nos._exit(4)"
    launch = Launcher(ear, tmp_path, lambda _, count: talks if count == 0 else GOOD)
    worker_pool = WorkerPool("relay", 1, launch, grace_s=10)
    try:
        await worker_pool.start()
    except GatewayError:
        pass
    else:
        await until(lambda: len(launch.started) == 2 and len(worker_pool.pids) == 1)
        await over(worker_pool)
    assert launch.living == []
