"""What stands around gateways in a chaos and is hit as well: PostgreSQL, and a real Postfix that keeps the queue."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.parts import START_S, answers
from tests.support import postgres
from tests.support.load import tree
from tests.support.peers import need
from tests.support.postfix import private_postfix
from tests.support.postgres import Postgres
from tests.support.process import ROOT

IN_FLIGHT = 8  # mails that the queue hands on at once
DAEMON = "chaos"  # milter_macro_daemon_name


@contextmanager
def postgres_in(home: Path) -> Iterator[Postgres]:
    """A server that may be stopped."""
    directory = home / "postgres"
    directory.mkdir()
    with postgres.own(directory) as server:
        yield server


@dataclass
class Restarted:
    """PostgreSQL, ended as by a crash and away for up to a second and a half."""

    server: Postgres
    name: str = "database"

    def hit(self, rng: random.Random) -> bool:
        """See Part."""
        self.server.stop("immediate")
        time.sleep(rng.random() * 1.5)
        self.server.start()
        return True


@dataclass
class Queue:
    """A Postfix that takes mail for the gateway and tries again every second until it is taken."""

    etc: Path
    port: int

    def _postfix(self, program: str, *arguments: str) -> str:
        done = subprocess.run([need(program, "postfix"), "-c", str(self.etc), *arguments], capture_output=True,
                              text=True, check=False, timeout=60)
        return done.stdout

    @property
    def master(self) -> int:
        """Its process id."""
        return int((self.etc.parent / "spool" / "pid" / "master.pid").read_text())

    def start(self) -> None:
        """Until it greets."""
        end = time.monotonic() + START_S
        while not answers(self.port):
            assert time.monotonic() < end, "Postfix does not answer"
            self._postfix("postfix", "start")
            time.sleep(0.1)

    def kill(self) -> None:
        """All of it at once, -9."""
        with suppress(OSError, ValueError):
            for pid in tree(self.master):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def listed(self) -> str:
        """What waits."""
        return self._postfix("postqueue", "-p")

    def drained(self, end: float, meanwhile: Callable[[], None]) -> bool:
        """Whether everything that waited is gone in time (`end`: monotonic seconds)."""
        self.start()
        while "empty" not in self.listed():
            if time.monotonic() > end:
                return False
            meanwhile()
            self._postfix("postqueue", "-f")
            time.sleep(1)
        return True


# A site's own lines: whatever fails is tried again at once, and nothing is given up.
_EAGER = ("myhostname = mx.bank.example\nmynetworks = 127.0.0.0/8\nmydestination =\nminimal_backoff_time = 1s\n"
          "maximal_backoff_time = 2s\nqueue_run_delay = 1s\nsmtp_destination_concurrency_failed_cohort_limit = 0\n"
          "smtpd_client_connection_count_limit = 0\nbounce_queue_lifetime = 1d\nsmtp_connect_timeout = 5s\n"
          "smtp_data_done_timeout = 60s\ntransport_retry_time = 1s\n"
          f"default_destination_concurrency_limit = {IN_FLIGHT}\n")


@contextmanager
def queue_in(root: Path, gateways: list[int]) -> Iterator[Queue]:
    """One in front of these ports. Who does not answer gives way to the next."""
    others = " ".join(f"[127.0.0.1]:{port}" for port in gateways[1:])
    with _queue(root, f"relayhost = [127.0.0.1]:{gateways[0]}\nsmtp_fallback_relay = {others}\n") as queue:
        yield queue


@contextmanager
def asking_in(root: Path, milter: int, hop: int) -> Iterator[Queue]:
    """One that asks the milter at a port before it takes a mail, and delivers to the next hop itself.

    The lines are those of conf/postfix/milter.main.cf.
    """
    recipe = (ROOT / "conf" / "postfix" / "milter.main.cf").read_text()
    wanted = ("smtpd_milters", "milter_")
    lines = [line for line in recipe.splitlines() if line.startswith(wanted)]
    text = "\n".join(lines).replace(":10029", f":{milter}").replace("sealgate-inbound", DAEMON)
    with _queue(root, f"relayhost = [127.0.0.1]:{hop}\n{text}\n") as queue:
        yield queue


@contextmanager
def _queue(root: Path, main_cf: str) -> Iterator[Queue]:
    with private_postfix(root, _EAGER + main_cf) as port:
        queue = Queue(root / "etc", port)
        try:
            yield queue
        finally:
            queue.kill()


@dataclass
class Mailer:
    """Postfix, killed with all its processes and started again: what it has acknowledged lies in its queue."""

    queue: Queue
    name: str = "postfix"

    def hit(self, rng: random.Random) -> bool:
        """See Part."""
        self.queue.kill()
        time.sleep(rng.random() * 0.5)
        self.queue.start()
        return True
