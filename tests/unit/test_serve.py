"""What the relay's process asks of its C library. Truth: the kernel's count of page faults."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
from gateway.serve import keep_memory
assert not {keep} or keep_memory()
def blocks():
    for _ in range(20):
        [b"x" * (4 << 20) for _ in range(4)]
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

    assert faults(keep=False) > 20 * 1024  # 80 blocks of 1024 pages: most of them anew each time
    assert faults(keep=True) < 100
