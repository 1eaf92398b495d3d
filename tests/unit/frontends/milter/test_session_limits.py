"""What the sessions of a worker share: octets, turns, and for how long a mail is worked on."""

import random
import threading
from contextlib import suppress

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.milter import session_limits as module
from gateway.frontends.milter.session_limits import SessionLimits


def test_octets_are_of_all_and_one_mail_alone_may_have_more() -> None:
    limits, first, second = SessionLimits(100, 1), object(), object()
    for session in (first, second):
        limits.entered(session)
        limits.began(session)
    limits.take(first, 150)
    with pytest.raises(GatewayError) as caught:
        limits.take(second, 1)
    assert (caught.value.reason, caught.value.retry) == (Reason.CLIENT_BUSY, True)
    limits.ended(first)
    limits.take(second, 100)
    limits.left(second)
    assert (limits.connections, limits.mails, limits.octets) == (1, 0, 0)


def test_the_octets_of_all_are_the_sum_whatever_order_things_come_in() -> None:
    limits, sessions = SessionLimits(10_000, 1), [object() for _ in range(5)]
    draw = random.Random(471)
    for _ in range(3_000):
        session = draw.choice(sessions)
        act = draw.choice(("entered", "began", "take", "take", "give_back", "ended", "left"))
        if act == "take":
            with suppress(GatewayError):
                limits.take(session, draw.randrange(3_000))
        else:
            getattr(limits, act)(session)
        assert limits.octets == sum(limits._octets.values()) >= 0
    for session in sessions:
        limits.left(session)
    assert (limits.octets, limits.mails, limits.connections) == (0, 0, 0)


def test_a_turn_that_does_not_come_is_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_TIMEOUT_S", 0.01)
    limits, inside, go_on = SessionLimits(100, 1), threading.Event(), threading.Event()

    def work() -> None:
        with limits.turn():
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    assert limits.oldest_s() > 0
    with pytest.raises(GatewayError), limits.turn():
        pass
    go_on.set()
    thread.join()
    assert limits.oldest_s() == 0
    with limits.turn():
        pass


def test_a_turn_ends_with_a_surprise_too() -> None:
    limits = SessionLimits(100, 1)
    with pytest.raises(ZeroDivisionError), limits.turn():
        _ = 1 // 0
    assert limits.oldest_s() == 0
    with limits.turn():
        pass
