"""Limits of several workers: what holds for all of them. Truth: the limits of one process with the same arrivals.

Workers are processes of their own where it matters that memory is shared, and objects on one memory elsewhere.
"""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.limits import Connections, Rate
from gateway.frontends.shared_limits import SharedConnections, SharedLimits, SharedRate


def workers(count: int) -> tuple[SharedLimits, list[SharedLimits]]:
    supervisor = SharedLimits.new()
    assert supervisor is not None
    return supervisor, [SharedLimits(supervisor.descriptor, supervisor.take()) for _ in range(count)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.booleans()), max_size=60))
def test_connections_are_refused_as_one_process_would(arrivals: list[tuple[int, str, bool]]) -> None:
    """Each arrival: at which worker, from whom, and whether it is one that leaves."""
    supervisor, three = workers(3)
    alone = Connections(5, 2)
    several = [SharedConnections(5, 2, one, "inbound") for one in three]
    inside: list[tuple[int, str]] = []
    for worker, peer, leaves in arrivals:
        if leaves:
            if (worker, peer) in inside:
                inside.remove((worker, peer))
                several[worker].leave(peer)
                alone.leave(peer)
        else:
            entered = several[worker].enter(peer)
            assert entered == alone.enter(peer)
            if entered:
                inside.append((worker, peer))
    os.close(supervisor.descriptor)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.sampled_from((0, 0.5, 5, 70))), max_size=80))
def test_mails_a_minute_are_taken_as_by_one_process(arrivals: list[tuple[int, str, float]]) -> None:
    """Each arrival: at which worker, whose mail, and how many seconds after the one before."""
    supervisor, three = workers(3)
    at = [1000.0]
    alone = Rate(6, lambda: at[0])
    several = [SharedRate(6, lambda: at[0], one) for one in three]
    for worker, client, pause in arrivals:
        at[0] += pause
        assert several[worker].allow(client) == alone.allow(client)
    os.close(supervisor.descriptor)


def test_roles_do_not_count_together() -> None:
    _, (one, two) = workers(2)
    assert SharedConnections(1, 1, one, "inbound").enter("a")
    assert SharedConnections(1, 1, two, "outbound").enter("a")
    assert not SharedConnections(1, 1, two, "inbound").enter("b")


def test_what_a_dead_worker_had_is_free_again() -> None:
    supervisor, (_, two) = workers(2)
    program = ("import os; from gateway.frontends.shared_limits import *; mine = SharedLimits.inherited(); "
               "many = SharedConnections(3, 3, mine, 'inbound'); print(sum(many.enter('a') for _ in range(9)))")
    told = subprocess.run([sys.executable, "-c", program], pass_fds=(supervisor.descriptor,), check=True,
                          capture_output=True, text=True,
                          env={**os.environ, "SEALGATE_TOGETHER": f"{supervisor.descriptor}/0"})
    assert told.stdout == "3\n"
    here = SharedConnections(3, 3, two, "inbound")
    assert not here.enter("b")
    supervisor.give(0)
    assert [here.enter("b") for _ in range(4)] == [True, True, True, False]


def test_who_has_long_seen_nothing_of_a_client_does_not_refuse_it() -> None:
    _, two = workers(2)
    at = [0.0]
    first, second = (SharedRate(6, lambda: at[0], one) for one in two)
    assert second.allow("bank")
    for _ in range(360):
        at[0] += 10
        assert first.allow("bank")
    at[0] += 10
    assert second.allow("bank")


def test_a_new_worker_does_not_begin_with_a_full_bucket() -> None:
    supervisor, (one,) = workers(1)
    first = SharedRate(5, lambda: 7.0, one)
    assert [first.allow("bank") for _ in range(6)] == [True] * 5 + [False]
    second = SharedRate(5, lambda: 7.0, SharedLimits(supervisor.descriptor, supervisor.take()))
    assert not second.allow("bank")


def test_more_workers_than_slots_count_alone() -> None:
    supervisor, _ = workers(128)
    assert supervisor.take() is None
    supervisor.give(5)
    assert supervisor.take() == 5
