"""Signs of life over sd_notify's protocol. Truth: the kernel's credentials of a datagram; systemd-notify(1)."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.processes.notify import Ear, Message, live, notify, trouble_field, trouble_of, watchdog_s
from tests.support.peers import need


async def until(true: object) -> None:
    async with asyncio.timeout(20):
        while not true():  # type: ignore[operator]  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(0.01)


async def spoken(ear: Ear, *command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*command, env={**os.environ, "NOTIFY_SOCKET": ear.address})


SAYS = ("import os, socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "s.sendto(sys.argv[1].encode(), os.environ['NOTIFY_SOCKET'])")


async def test_what_a_process_of_ours_says_is_heard_also_if_it_said_so_before() -> None:
    ear, heard = Ear(), []
    ear.open()
    process = await spoken(ear, sys.executable, "-c", SAYS, "READY=1\nX_RULES={}")
    await process.wait()
    await until(lambda: ear._early)
    ear.listen(process.pid, heard.append)
    ear.close()
    assert heard == [{"READY": "1", "X_RULES": "{}"}]


async def test_a_process_that_we_did_not_start_is_not_believed() -> None:
    """It names no process but its own: the kernel writes the sender's id."""
    ear, heard = Ear(), []
    ear.open()
    ours = await spoken(ear, sys.executable, "-c", "import time; time.sleep(60)")
    ear.listen(ours.pid, heard.append)
    stranger = await spoken(ear, sys.executable, "-c", SAYS, f"READY=1\nMAINPID={ours.pid}")
    await stranger.wait()
    await until(lambda: ear._early)
    ours.kill()
    await ours.wait()
    ear.forget(ours.pid)
    ear.close()
    assert heard == []


async def test_systemd_notify_is_understood() -> None:
    """It speaks in the name of who called it where it may, which the kernel lets only root do."""
    program = need("systemd-notify", "systemd")
    ear, heard = Ear(), []
    ear.open()
    process = await spoken(ear, program, "--ready", "--status=well", "--no-block")
    assert await process.wait() == 0
    for pid in (os.getpid(), process.pid):
        ear.listen(pid, heard.append)
        ear.forget(pid)
    ear.close()
    assert [(one.get("READY"), one.get("STATUS")) for one in heard] == [("1", "well")]


async def test_strange_octets_are_no_message_and_break_nothing() -> None:
    ear: Ear = Ear()
    heard: list[Message] = []
    ear.open()
    program = SAYS.replace("sys.argv[1].encode()", "bytes(range(128, 256)) * 9")
    process = await spoken(ear, sys.executable, "-c", program)
    ear.listen(process.pid, heard.append)
    await process.wait()
    await until(lambda: heard)
    ear.close()
    assert heard == [{}]


def test_nobody_listens_and_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


@pytest.mark.parametrize("pid, microseconds, seconds", [
    ("", "30000000", 30.0), ("ours", "500000", 0.5), ("1", "30000000", None), ("", "", None),
    ("", "soon", None),
])
def test_the_watchdog_of_systemd(monkeypatch: pytest.MonkeyPatch, pid: str, microseconds: str,
                                 seconds: float | None) -> None:
    """sd_watchdog_enabled(3): WATCHDOG_PID, if it is there, must be ours."""
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert watchdog_s() == seconds


async def test_who_is_not_well_says_so() -> None:
    program = ("import asyncio, sys; from gateway.frontends.processes.notify import live\n"
               "well = iter([True, False])\n"
               "async def main():\n"
               "    try: await live(lambda: next(well))\n"
               "    except RuntimeError: pass\n"
               "asyncio.run(main())")
    ear, heard = Ear(), []
    ear.open()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env={**os.environ, "NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "60000"},
        cwd=Path(__file__).parents[3])
    ear.listen(process.pid, heard.append)
    assert await process.wait() == 0
    ear.forget(process.pid)
    ear.close()
    assert heard == [{"WATCHDOG": "1"}, {"WATCHDOG": "trigger"}]


async def test_without_a_watchdog_nobody_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    await asyncio.wait_for(live(), 5)


def test_trouble_comes_back_as_it_went() -> None:
    trouble = GatewayError(Reason.KEY_UNAVAILABLE, "keys/otp.key:\n no such file = 1", retry=True)
    name, _, value = trouble_field(trouble).partition("=")
    back = trouble_of({name: value})
    assert back is not None
    assert (back.reason, back.detail, back.retry) == (trouble.reason, trouble.detail, trouble.retry)
    assert "\n" not in value
    assert trouble_of({"READY": "1"}) is None


def test_nobody_else_may_speak_to_it() -> None:
    """The kernel keeps others out of the directory: a full queue would have everybody taken for stuck."""
    ear = Ear()
    home = Path(ear.address).parent
    assert home.stat().st_mode & 0o777 == 0o700
    ear.close()
    assert not home.exists()
