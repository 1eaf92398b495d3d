"""What a planted fault is, and whether its place in the tree is still there."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """One slip of a programmer. `file`: from the root of the tree; `before`: text that is in it exactly once.

    `after`: what the fault makes of the text; `harm`: what would go wrong; `tests`: pytest ids, of which one or more
    must fail with the fault.
    """

    id: str
    file: str
    before: str
    after: str
    harm: str
    tests: tuple[str, ...]


@cache
def _text(name: str) -> str | None:
    path = ROOT / name
    return path.read_text() if path.is_file() else None


def misplaced(fault: Fault) -> str:
    """Why the fault cannot be planted or judged, '' if it can."""
    text = _text(fault.file)
    if text is None:
        return f"MISPLACED: {fault.file} does not exist; correct the table in tests/mutants/faults.py"
    if (count := text.count(fault.before)) != 1:
        return (f"MISPLACED: {fault.file} has changed, it contains the text of the fault {count} times; "
                "correct the table in tests/mutants/faults.py")
    for test in fault.tests:
        name, _, function = test.partition("::")
        text = _text(name)
        if text is None or (function and not re.search(rf"^(async )?def {re.escape(function)}\b", text, re.MULTILINE)):
            return f"MISPLACED: the test {test} does not exist; correct the table in tests/mutants/faults.py"
    return ""
