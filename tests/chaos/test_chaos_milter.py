"""The short chaos of a gateway that is Postfix's milter: see test_chaos.

Starts `sealgate run` with its milter's processes, a real Postfix that asks it, a next hop, and four senders.
"""

import pytest

from tests.chaos.test_chaos import survives
from tests.support.peers import need

pytestmark = pytest.mark.long


def test_a_milter() -> None:
    need("postfix", "postfix")
    survives("milter")
