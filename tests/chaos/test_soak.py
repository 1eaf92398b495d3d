"""Memory stays flat: a short form of `make soak`, where one leaked mail, certificate or connection would show.

What Python knows is counted exactly. Caches of a few thousand entries are still filling while this runs, less than one
object for each mail; a mail that is kept is some dozens. What the process holds varies by what the C library keeps.
"""

from pathlib import Path

import pytest

from tests.chaos.soak import bank, soak
from tests.support.load import MIB

WARM, MANY = 1_000, 3_000

pytestmark = pytest.mark.long


def test_three_thousand_mails_leave_no_trace_in_memory(tmp_path: Path) -> None:
    with bank(tmp_path / "home") as built:
        points = soak(built, WARM, MANY)
    objects = [point.objects for point in points]
    assert max(objects[1:]) - objects[0] < MANY, points
    assert points[-1].octets - points[0].octets < 24 * MIB, points
