"""Lines that strangers cause are limited, and nothing else is. Truth: the numbers of the module, and a clock that the
test moves.
"""

import pytest
import structlog

from gateway.frontends.telemetry.log_limits import KINDS_MAX, LINES_MAX, WITHIN_S, Floods


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def written(floods: Floods, event: str, **fields: str) -> dict[str, object] | None:
    try:
        return dict(floods(None, "info", {"event": event, **fields}))
    except structlog.DropEvent:
        return None


def test_so_many_lines_of_one_kind_and_then_their_number() -> None:
    clock = Clock()
    floods = Floods(clock)
    lines = [written(floods, "session.rejected", reason="recipient.not_ours", listener="in")
             for _ in range(LINES_MAX + 7)]
    assert [line is None for line in lines] == [False] * LINES_MAX + [True] * 7
    clock.at += WITHIN_S
    assert written(floods, "session.rejected", reason="recipient.not_ours", listener="in") == {
        "event": "session.rejected", "reason": "recipient.not_ours", "listener": "in", "unlogged": 7}
    assert "unlogged" not in (written(floods, "session.rejected", reason="recipient.not_ours", listener="in") or {})


def test_one_kind_hides_no_other() -> None:
    floods = Floods(Clock())
    for _ in range(LINES_MAX + 1):
        written(floods, "session.rejected", reason="recipient.not_ours", listener="in")
    assert written(floods, "session.rejected", reason="client.auth_failed", listener="in")
    assert written(floods, "session.rejected", reason="recipient.not_ours", listener="out")


@pytest.mark.parametrize("event", ["mail", "internal.error", "request", "certificate.looked_up"])
def test_what_must_be_found_later_is_never_left_out(event: str) -> None:
    floods = Floods(Clock())
    assert all(written(floods, event) for _ in range(LINES_MAX * 3))


def test_it_remembers_a_bounded_number_of_kinds() -> None:
    floods = Floods(Clock())
    for number in range(KINDS_MAX * 2):
        assert written(floods, "session.timeout", listener=str(number))
    assert len(floods._windows) == KINDS_MAX
