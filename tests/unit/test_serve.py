"""One relay worker: what it asks of its C library, how old its work is, what it may use up.

Truth: the kernel's count of page faults; sums.
"""

import asyncio
import platform
import subprocess
import sys
import threading

import pytest

from gateway.frontends.smtp.threads import Workers
from gateway.frontends.worker_limits import part, share
from gateway.settings import load
from tests.support.process import new_bank

COUNT = """
import resource
from gateway.app.processes.relay import keep_memory
assert not {keep} or keep_memory()
def blocks():
    for _ in range(20):
        [b"x" * (2 << 20) for _ in range(4)]
blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
blocks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_of_a_mails_size_stays_with_the_process():
    def faults(*, keep: bool) -> int:
        program = COUNT.format(keep=keep)
        return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env={}).stdout)

    assert faults(keep=False) > 10 * 1024  # 80 blocks of 512 pages: most of them anew each time
    assert faults(keep=True) < 100


async def test_a_job_that_does_not_end_is_seen_growing_old() -> None:
    """What tells the supervisor that threads are stuck while the loop is well."""
    workers, begun, end = Workers("mail", 2, 10), threading.Event(), threading.Event()
    assert workers.oldest_s() == 0.0

    def stuck() -> None:
        begun.set()
        end.wait()

    job = workers.submit(stuck)
    await asyncio.to_thread(begun.wait)
    before = workers.oldest_s()
    assert await workers.submit(lambda: 7).done == 7  # another thread goes on
    assert workers.oldest_s() > before
    end.set()
    await job.done
    await workers.submit(lambda: None).done
    workers.close()
    assert await asyncio.wait_for(_idle(workers), 10)


async def _idle(workers: Workers) -> bool:
    while workers.oldest_s():  # noqa: ASYNC110 - what is waited for is no event of ours
        await asyncio.sleep(0.01)
    return True


@pytest.mark.parametrize("whole, size", [(16, 3), (10, 2), (1, 4), (64, 64), (7, 1)])
def test_what_is_divided_is_the_whole_again_and_nobody_gets_nothing(whole: int, size: int) -> None:
    parts = [part(whole, number, size) for number in range(size)]
    assert sum(parts) == max(whole, size)
    assert max(parts) - min(parts) <= 1


def test_a_worker_gets_its_share_of_threads_octets_and_connections_onward(tmp_path) -> None:
    settings = load(new_bank(tmp_path / "bank").config)
    shares = [share(settings, number, 3) for number in range(3)]
    assert sum(one.limits.workers_max for one in shares) == settings.limits.workers_max
    assert sum(one.limits.octets_in_flight_max for one in shares) == settings.limits.octets_in_flight_max
    for hop in ("outbound", "inbound"):
        assert sum(getattr(one.next_hops, hop).connections_max for one in shares) == \
            getattr(settings.next_hops, hop).connections_max
    # Counted together, not divided.
    assert {one.limits.connections_max for one in shares} == {settings.limits.connections_max}
    assert share(settings, 0, 1) is settings
