"""Standard output is data alone: what commands log goes to standard error.

Truth: POSIX on the two streams, and `sealgate seal > out.eml`, whose file began with log lines while a time-stamping
service was down.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT, new_bank

MAIL = (b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Code\r\nMessage-ID: <1@bank.example>\r\n"
        b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\n481516\r\n")
NOISY = """
import sys
from gateway.cli import main, seal_open
import structlog
log = structlog.get_logger("sealgate")
def noisy(handle):
    def noisily(self, mail):
        log.warning("stamper.failed", stamper="a")
        log.info("stamper.skipped", stamper="a")
        return handle(self, mail)
    return noisily
seal_open.composition.Gateway.handle = noisy(seal_open.composition.Gateway.handle)
main.main()
"""


@pytest.mark.parametrize("program", [("-m", "gateway"), ("-c", NOISY)], ids=["quiet", "with log lines"])
def test_a_sealed_mail_is_all_that_is_on_standard_output(tmp_path: Path, program: tuple[str, str]) -> None:
    bank = new_bank(tmp_path / "bank")
    done = subprocess.run(
        [sys.executable, *program, "--config", str(bank.config), "seal", "--client", "online-banking", "--from",
         "otp@bank.example", "--to", "anna@customer.example"], input=MAIL, capture_output=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    first, _, _ = done.stdout.partition(b":")
    assert re.fullmatch(rb"[A-Za-z-]+", first), done.stdout[:200]
    logged = [json.loads(line) for line in done.stderr.splitlines() if line[:1] == b"{"]
    assert [one["event"] for one in logged] == (["stamper.failed"] if program[0] == "-c" else [])
