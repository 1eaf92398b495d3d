"""Plants each fault of the table in a copy of the tree and expects that its tests fail.

    python -m tests.mutants [--list] [ID...]      (make mutants; FAULTS="ID ..." for some of them)

The exit status is 1 where a fault survives or its text is no longer in the file exactly once, 2 where the named tests
fail without any fault.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.faults import FAULTS
from tests.mutants.model import ROOT, Fault, misplaced

TIMEOUT_S = 120  # for the tests of one fault
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line")
FAILED = 1  # pytest's exit status where a test failed; any other one proves nothing
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "dist", "build", "sealgate-demo*")


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tree. Other accounts can enter it, as some tests start programs under one."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        Path(place).chmod(0o755)
        tree = Path(place, "tree")
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT, symlinks=True)
        yield tree


def status(tree: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """The exit status of pytest and what it printed; None where it did not end in time."""
    command = [*PYTEST, f"--basetemp={tree.parent / 'pytest'}", *tests]
    try:
        run = subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=False,
                             capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None, ""
    return run.returncode, run.stdout


def result(tree: Path, fault: Fault) -> str:
    """`caught`, or what is wrong with the fault or its tests."""
    if wrong := misplaced(fault):
        return wrong
    path = tree / fault.file
    text = path.read_text()
    path.write_text(text.replace(fault.before, fault.after))
    try:
        code, _ = status(tree, fault.tests)
    finally:
        path.write_text(text)
    if code == FAILED:
        return "caught"
    return "SURVIVED" if code == 0 else f"NOT JUDGED: pytest ended with {'a timeout' if code is None else code}"


def main(names: Sequence[str]) -> int:
    """Plants the faults with these ids, all without any; returns the exit status."""
    if unknown := set(names) - {fault.id for fault in FAULTS}:
        sys.exit(f"There is no fault {', '.join(sorted(unknown))}. Use `python -m tests.mutants --list`.")
    chosen = [fault for fault in FAULTS if not names or fault.id in names]
    results: dict[str, str] = {}
    with copied() as tree:
        code, output = status(tree, sorted({test for fault in chosen for test in fault.tests}))
        if code != 0:
            print(f"The named tests fail without any fault:\n{output}")
            return 2
        for number, fault in enumerate(chosen, 1):
            began = time.monotonic()
            results[fault.id] = result(tree, fault)
            print(f"{number:3} of {len(chosen)}  {time.monotonic() - began:5.1f} s  {fault.id}: {results[fault.id]}",
                  flush=True)
    print()
    for fault in chosen:
        print(f"{results[fault.id].partition(':')[0]:<10} {fault.id:<28} {fault.file}")
        if results[fault.id] != "caught":
            print(f"           {results[fault.id]}. {fault.harm}")
    count = sum(one == "caught" for one in results.values())
    print(f"{count} of {len(chosen)} planted faults were caught")
    return 0 if count == len(chosen) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{fault.id:<28} {fault.harm}" for fault in FAULTS))
    else:
        sys.exit(main(sys.argv[1:]))
