"""What the sessions of a worker share: octets, turns, and for how long a mail is worked on."""

import random
import threading
from contextlib import suppress

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.milter import room as module
from gateway.frontends.milter.room import Room


def test_octets_are_of_all_and_one_mail_alone_may_have_more() -> None:
    room, first, second = Room(100, 1), object(), object()
    for session in (first, second):
        room.entered(session)
        room.began(session)
    room.take(first, 150)
    with pytest.raises(GatewayError) as caught:
        room.take(second, 1)
    assert (caught.value.reason, caught.value.retry) == (Reason.CLIENT_BUSY, True)
    room.ended(first)
    room.take(second, 100)
    room.left(second)
    assert (room.connections, room.mails, room.octets) == (1, 0, 0)


def test_the_octets_of_all_are_the_sum_whatever_order_things_come_in() -> None:
    room, sessions = Room(10_000, 1), [object() for _ in range(5)]
    draw = random.Random(471)
    for _ in range(3_000):
        session = draw.choice(sessions)
        act = draw.choice(("entered", "began", "take", "take", "give_back", "ended", "left"))
        if act == "take":
            with suppress(GatewayError):
                room.take(session, draw.randrange(3_000))
        else:
            getattr(room, act)(session)
        assert room.octets == sum(room._octets.values()) >= 0
    for session in sessions:
        room.left(session)
    assert (room.octets, room.mails, room.connections) == (0, 0, 0)


def test_a_turn_that_does_not_come_is_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_TIMEOUT_S", 0.01)
    room, inside, go_on = Room(100, 1), threading.Event(), threading.Event()

    def work() -> None:
        with room.turn():
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(10)
    assert room.oldest_s() > 0
    with pytest.raises(GatewayError), room.turn():
        pass
    go_on.set()
    thread.join()
    assert room.oldest_s() == 0
    with room.turn():
        pass


def test_a_turn_ends_with_a_surprise_too() -> None:
    room = Room(100, 1)
    with pytest.raises(ZeroDivisionError), room.turn():
        _ = 1 // 0
    assert room.oldest_s() == 0
    with room.turn():
        pass
