"""The tour's stations on the gateway at work: processes that die, numbers, the trace of one mail."""

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.demo.bank import DOMAIN
from gateway.demo.guide import Guide, plain_mail
from gateway.demo.world import post

_WAIT_S: Final = 30.0
_MAILS: Final = 4


@dataclass(frozen=True, slots=True)
class RunningTour:
    """Its stations."""

    guide: Guide

    def killed(self) -> None:
        """As the kernel would end one that takes too much memory."""
        guide = self.guide
        workers = self._workers()
        guide.claim(f"two workers take mail: {', '.join(map(str, workers))}", holds=len(workers) == 2)
        os.kill(workers[0], signal.SIGKILL)
        anna, left = guide.bank.people["anna"], []
        for number in range(_MAILS):
            code = plain_mail("otp@" + DOMAIN, anna.address, "Your code", f"The code is 4711{number}.\n")
            left.append(guide.sent_at_last("online-banking", code))
        guide.claim(f"kill -9 {workers[0]}, and {_MAILS} codes leave all the same", holds=len(left) == _MAILS)
        guide.claim("none of them in clear", holds=not any(b"The code is" in mail for mail in left))
        guide.claim("another worker has taken its place", holds=self._replaced(workers))

    def counted(self) -> None:
        """From outside, without a look into the mail."""
        guide = self.guide
        anna = guide.bank.people["anna"]
        code = plain_mail("otp@" + DOMAIN, anna.address, "Your code", "The code is 481516.\n")
        guide.send("online-banking", code)
        output = guide.configured("trace", str(code["Message-ID"]), "--json")
        records = [json.loads(line) for line in output.splitlines()]
        guide.claim(
            "sealgate trace shows rule, steps and the next hop's reply",
            holds="otp" in json.dumps(records) and bool(records)
        )
        numbers = post(f"http://127.0.0.1:{guide.bank.ports.metrics}/metrics", None, "").decode()
        counts = re.split(r"[^0-9]+", numbers)  # of a fraction, its digits: no six of them by chance
        counted = [line for line in numbers.splitlines() if line.startswith("sealgate_mails_total{")]
        guide.claim(f"/metrics counts mails by direction and answer: {len(counted)} lines", holds=bool(counted))
        guide.claim("and has no address in it", holds=anna.address not in numbers and "481516" not in counts)
        ready = post(f"http://127.0.0.1:{guide.bank.ports.metrics}/readyz", None, "")
        guide.claim("/readyz says that mail is taken", holds=bool(ready))

    def _workers(self) -> list[int]:
        """The relay's processes of this bank."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode("utf-8", "replace").split("\0")
            except OSError:
                continue  # it has ended
            if "worker" in words and str(self.guide.bank.config) in words:
                found.append(int(path.parent.name))
        return sorted(found)

    def _replaced(self, before: list[int]) -> bool:
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            now = self._workers()
            if len(now) == len(before) and before[0] not in now:
                return True
            time.sleep(0.1)
        return False
