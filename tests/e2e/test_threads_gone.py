"""`sealgate run` at the limit of tasks of its user (RLIMIT_NPROC): mail is deferred, and goes on with new threads.

Truth: the kernel, which starts no thread. Needs root, for the limit does not hold for root: the service runs as a user
of its own.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.load import CODE, LETTER, others_mail_goes_on, taking, tree
from tests.support.process import free_ports, new_bank, relay, without_web
from tests.support.smtp import until

USER = 64_321  # of nobody else: the limit counts all tasks of a user
AS_USER = f"import os, resource, sys; os.setgroups([]); os.setgid({USER}); os.setuid({USER}); "


def limit(pids: Sequence[int], tasks: int) -> None:
    """Only a process of the same user may set it."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    subprocess.run([sys.executable, "-c", AS_USER + f"[resource.prlimit(one, resource.RLIMIT_NPROC, ({tasks}, {hard})) "
                    f"for one in {list(pids)}]"], check=True)


def test_mail_is_deferred_and_goes_on_in_the_same_processes(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(0o755)
    (hop,) = free_ports(1)
    bank = new_bank(tmp_path / "home", hop=hop, change=without_web)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", tmp_path], check=True)
    start = ["-c", AS_USER + "os.execv(sys.executable, [sys.executable, '-m', 'gateway', '--config', "
             f"{str(bank.config)!r}, 'run'])"]
    with taking(hop) as sink, relay(bank, arguments=start) as running:
        pids = tree(running.process.pid)
        limit(pids, 1)
        for _ in range(3):
            assert running.submit(CODE % 1, ["anna@customer.example"])[0] == 452
            assert running.receive(LETTER % 1, ["support@bank.example"])[0] == 452
        until(lambda: "worker.thread_not_started" in running.told and "jobs.round_failed" in running.told)
        assert sink.count == 0
        limit(pids, 5_000)
        others_mail_goes_on(running)
        assert tree(running.process.pid) == pids, "no process had to be started again"
