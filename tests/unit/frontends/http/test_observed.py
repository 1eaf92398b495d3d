"""What `/readyz` makes of its checks. Truth: docs/metrics.md."""

import pytest

from gateway.frontends.http.observed import Check, readiness

OK, SLOW, DEAD = Check("a", "ok"), Check("b", "degraded", "next_hop.later"), Check("c", "failed", "no greeting: x")


@pytest.mark.parametrize("checks, status, word", [
    ((OK,), 200, "ready"), ((OK, SLOW), 200, "degraded"), ((SLOW, DEAD), 503, "not_ready"),
    ((DEAD, OK), 503, "not_ready"),
])
def test_only_what_stops_all_mail_sends_it_elsewhere(checks: tuple[Check, ...], status: int, word: str) -> None:
    code, answer = readiness(checks)
    assert (code, answer["status"]) == (status, word)
    assert set(answer["checks"]) == {check.name for check in checks}  # type: ignore[call-overload]


def test_details_are_told_where_there_are_any() -> None:
    assert readiness((OK, SLOW))[1]["checks"] == {
        "a": {"state": "ok"}, "b": {"state": "degraded", "detail": "next_hop.later"}}
