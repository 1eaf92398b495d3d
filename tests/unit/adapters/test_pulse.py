"""Who is dead, by what one has seen: hands on a clock, rows as a database would show them."""

from gateway.adapters.db import pulse
from gateway.adapters.db.pulse import BEAT_S, DEAD_S, Pulse

OTHER = "other|boot|pid:[1]|7|1"


class Watched:
    """A pulse whose looks a test makes."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pulse = Pulse(None, None)  # type: ignore[arg-type]  # it never connects
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
    watched.later(DEAD_S - BEAT_S)
    watched.now += 3 * BEAT_S
    assert watched.pulse.is_dead(OTHER) is None
    assert watched.later(DEAD_S - BEAT_S) is None


def test_what_is_asked_for_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(pulse, "MISSED_MAX", 10)
    watched = Watched()
    watched.look()
    for number in range(100):
        watched.pulse.is_dead(f"nobody{number}")
    assert len(watched.pulse._missed) <= 10
