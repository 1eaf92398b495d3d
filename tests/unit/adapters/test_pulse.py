"""Who is dead, by what one has seen: hands on a clock, rows as a database would show them."""

import pytest

from gateway.adapters.db.engine import heartbeat as pulse
from gateway.adapters.db.engine.heartbeat import BEAT_S, DEAD_S, Heartbeat

OTHER = "other|boot|pid:[1]|7|1"


class Watched:
    """A pulse whose looks a test makes."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pulse = Heartbeat(None, None)  # type: ignore[arg-type]  # it never connects
        self.pulse._clock = lambda: self.now

    def look(self, *rows: tuple[str, int]) -> None:
        self.pulse._watch(list(rows))

    def later(self, seconds: float, *rows: tuple[str, int]) -> bool | None:
        """Looks every beat for so long; what is then said of the other one."""
        end = self.now + seconds
        said = None
        while self.now < end:
            self.now += BEAT_S
            self.look(*rows)
            said = self.pulse.is_dead(OTHER)
        return said


def test_one_that_has_ended_and_left_a_claim_is_dead_after_a_while() -> None:
    """Its row went with it; what it had claimed could not be given back, for the database was away."""
    watched = Watched()
    watched.look()
    assert watched.pulse.is_dead(OTHER) is None, "it may have begun since we looked"
    assert watched.later(DEAD_S - BEAT_S) is None
    assert watched.later(2 * BEAT_S) is True


def test_one_that_appears_meanwhile_lives() -> None:
    watched = Watched()
    watched.later(DEAD_S - BEAT_S)
    assert watched.later(BEAT_S, (OTHER, 1)) is False
    assert watched.later(BEAT_S) is None, "and counts from the beginning"


def test_nothing_is_known_while_we_do_not_look() -> None:
    watched = Watched()
    assert watched.later(2 * DEAD_S, (OTHER, 1)) is True
    watched.now += DEAD_S + 1
    assert watched.pulse.is_dead(OTHER) is None
    watched.look((OTHER, 2))
    assert watched.pulse.is_dead(OTHER) is False


@pytest.mark.parametrize("rows", [[], [(OTHER, 1)]])
def test_a_pause_that_was_not_watched_counts_as_one_look(rows) -> None:
    watched = Watched()
    watched.look(*rows)
    watched.pulse.is_dead(OTHER)
    watched.now += 600
    watched.look(*rows)
    assert not watched.pulse.is_dead(OTHER)
    assert not watched.later(DEAD_S - 2 * BEAT_S, *rows)
    assert watched.later(BEAT_S, *rows) is True


@pytest.mark.parametrize("rows", [[], [(OTHER, 1)]])
def test_the_dead_are_seen_by_one_who_always_looks_late(rows) -> None:
    """On a busy machine each look was more than two beats after the last, and none was ever dead."""
    watched = Watched()
    watched.look(*rows)
    said = [watched.pulse.is_dead(OTHER)]
    for _ in range(4):
        watched.now += 3 * BEAT_S
        watched.look(*rows)
        said.append(watched.pulse.is_dead(OTHER))
    assert said[-1] is True
    assert not any(said[:-1])


@pytest.mark.parametrize("rows", [[], [(OTHER, 1)]])
def test_after_a_lost_connection_the_watch_begins_again(rows) -> None:
    """Others may need longer than we do to reach the database again."""
    def refused() -> None:
        raise OSError

    watched = Watched()
    watched.look(*rows)
    assert not watched.later(DEAD_S - BEAT_S, *rows)
    watched.pulse._connect = refused
    with pytest.raises(OSError):
        watched.pulse._beat(beats=True)
    assert watched.pulse.is_dead(OTHER) is None
    watched.now += BEAT_S
    watched.look(*rows)
    assert not watched.later(DEAD_S - BEAT_S, *rows)
    assert watched.later(2 * BEAT_S, *rows) is True


def test_what_is_asked_for_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(pulse, "MISSED_MAX", 10)
    watched = Watched()
    watched.look()
    for number in range(100):
        watched.pulse.is_dead(f"nobody{number}")
    assert len(watched.pulse._missed) <= 10
