"""A minute's worth of `make chaos`: every part is hit once, in an order that is drawn anew at each run.

Starts `sealgate run` with two workers, a next hop in a process of its own, and four senders that never give up. The
seed stands in the output of a failure; CHAOS_SEED=... draws the same again (threads and kernels still have their say).
"""

import os
import random
from pathlib import Path

from tests.chaos.driver import Chaos, show


def test_whatever_is_killed_nothing_is_lost_and_nothing_leaves_in_clear(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    chaos = Chaos(tmp_path, seed)
    books = chaos.run(90, hits=len(chaos.parts))
    show(books)
    assert books.wrong == [], f"seed {seed}"
    assert set(books.hits) >= {"worker", "next hop", "supervisor"}, f"seed {seed}: {books.hits}"
    kinds = {mail.kind for mail in books.sent if mail.acknowledged}
    assert len(kinds) >= 3, f"seed {seed}: {kinds}"
