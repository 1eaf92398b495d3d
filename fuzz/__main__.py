"""`make fuzz`: every target, or those that are named, for so many seconds each; one line for each at the end.

What breaks a target is kept in fuzz/found/TARGET-…; put it into fuzz/corpus/TARGET once it is mended, with a test.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from fuzz.targets import TARGETS, corpus

HERE = Path(__file__).parent
INPUT_S = 20  # one input; more is a finding
MEMORY_MIB = 2_048


def main() -> int:
    """Exit status 1 if anything was found."""
    options = argparse.ArgumentParser(prog="python -m fuzz")
    options.add_argument("--seconds", type=int, default=180)
    options.add_argument("targets", nargs="*", metavar="TARGET", default=list(TARGETS))
    given = options.parse_args()
    found = [fuzz(name, given.seconds) for name in given.targets]
    return int(any(found))


def fuzz(name: str, seconds: int) -> bool:
    """Whether something was found. New inputs that reach new code stay in fuzz/grown, beside the tree's corpus."""
    grown, kept = HERE / "grown" / name, HERE / "found"
    for directory in (grown, kept):
        directory.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(corpus(name)):
        (grown / f"seed-{number}").write_bytes(octets)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "fuzz.one", name, f"-max_total_time={seconds}", f"-timeout={INPUT_S}", "-max_len=65536",
         f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={kept}/{name}-", "-print_final_stats=1", str(grown)],
        capture_output=True, text=True, errors="replace", cwd=HERE.parent, check=False)
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    inputs, word = executed[1] if executed else "?", "FOUND" if done.returncode else "ok"
    sys.stdout.write(f"{name:16} {inputs:>10} inputs  {word}\n")
    sys.stdout.flush()
    if done.returncode:
        sys.stdout.write(done.stderr[-6000:] + "\n")
    return bool(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
