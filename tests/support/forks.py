"""Processes of tests that start quickly: they are forked from a server that has loaded the gateway before.

A start costs 0.05 s of CPU. A process that loads the gateway itself costs 0.7 s.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext


def context() -> ForkServerContext:
    """As `multiprocessing.get_context("spawn")`, for functions of a module and arguments that can be pickled."""
    made: ForkServerContext = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["gateway.app.processes.relay", "tests.support.databases"])
    return made
