"""A minute's worth of `make chaos`: every part is hit once, in an order that is drawn anew at each run.

Starts `sealgate run` with two workers, a next hop in a process of its own, and four senders that never give up; then
two nodes on one PostgreSQL behind a real Postfix. The seed stands in the output of a failure; CHAOS_SEED=... draws the
same again (threads and kernels still have their say).
"""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.driver import SHAPES, Chaos, show
from tests.support.peers import need
from tests.support.postgres import need_postgres


@pytest.fixture
def home() -> Iterator[Path]:
    """Through which other users' programs, PostgreSQL's and Postfix's, may walk."""
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.parametrize("shape", ["alone", "nodes-behind-postfix"])
def test_whatever_is_killed_nothing_is_lost_and_nothing_leaves_in_clear(home: Path, shape: str) -> None:
    if SHAPES[shape].postgres:
        need_postgres()
        need("postfix", "postfix")
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    chaos = Chaos(home, seed, SHAPES[shape])
    books = chaos.run(60, hits=len(chaos.parts))
    show(books, shape)
    assert books.wrong == [], f"seed {seed}"
    assert len(books.hits) >= 3, f"seed {seed}: {books.hits}"
    assert sum(mail.acknowledged for mail in books.sent) >= 10, f"seed {seed}"
