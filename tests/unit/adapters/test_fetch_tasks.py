"""What is to be fetched, in a real database. Truth: the port's promises, and its bounds by counting rows."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.db.certificates import fetch_tasks
from gateway.adapters.db.certificates.fetch_tasks import DbFetchTasks
from gateway.adapters.db.engine.database import Database
from gateway.errors import Reason
from gateway.ports.fetch import FetchKind, FetchRequest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DER, ISSUER = b"\x30\x03\x02\x01\x07", b"\x30\x03\x02\x01\x08"


def wanted(name: str, kind: FetchKind = "crl", url: str = "") -> FetchRequest:
    return FetchRequest(name, kind, url or f"http://ca.test/{name}", DER, b"" if kind == "issuer" else ISSUER)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def tasks(database: Database) -> DbFetchTasks:
    return DbFetchTasks(database)


def keys(tasks: DbFetchTasks, seconds: float = 0.0, limit: int = 100) -> list[str]:
    return [task.request.key for task in tasks.due(later(seconds), limit)]


def test_a_wish_is_due_at_once_and_comes_back_as_it_went_in(tasks: DbFetchTasks) -> None:
    (task,) = tasks.want([wanted("a")], NOW, again_s=300)
    assert (task.request, task.asked_at, task.due_at, task.tried) == (wanted("a"), NOW, NOW, False)
    assert tasks.due(NOW, 10) == (task,)
    assert tasks.get(["a", "unknown"]) == (task,)
    assert keys(tasks, -1) == []


def test_a_wish_twice_is_one_task_and_costs_no_commit(tasks: DbFetchTasks, database: Database) -> None:
    tasks.want([wanted("a")], NOW, again_s=300)
    before = database.group.commits
    tasks.want([wanted("a")], later(60), again_s=300)
    assert database.group.commits == before
    assert keys(tasks) == ["a"]


def test_what_succeeded_comes_again_when_it_is_due_or_did_not_help(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("a")], NOW, again_s=300)
    tasks.done("a", later(1), later(1000))
    assert keys(tasks, 999) == []
    assert keys(tasks, 1000) == ["a"]
    tasks.want([wanted("a")], later(200), again_s=300)  # so soon it would bring the same
    assert keys(tasks, 200) == []
    tasks.want([wanted("a")], later(302), again_s=300)
    assert keys(tasks, 302) == ["a"]


def test_answers_come_again_only_when_wanted(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("a", "ocsp")], NOW, again_s=300)
    tasks.done("a", later(1), None)
    assert keys(tasks, 1e9) == []
    tasks.want([wanted("a", "ocsp")], later(400), again_s=300)
    assert keys(tasks, 400) == ["a"]


def test_what_failed_waits_for_its_time_whoever_wants_it(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("a")], NOW, again_s=300)
    tasks.failed("a", later(600), Reason.FETCH_UNAVAILABLE, "down")
    (task,) = tasks.want([wanted("a")], later(500), again_s=300)
    assert (task.failures, task.reason, task.detail, task.tried) == (1, Reason.FETCH_UNAVAILABLE, "down", True)
    assert keys(tasks, 599) == []
    tasks.failed("a", later(900), Reason.FETCH_REFUSED, "x" * 10_000)
    (task,) = tasks.get(["a"])
    assert (task.failures, task.reason, len(task.detail)) == (2, Reason.FETCH_REFUSED, fetch_tasks.DETAIL_LENGTH_MAX)
    tasks.done("a", later(901), later(2000))
    (task,) = tasks.get(["a"])
    assert (task.failures, task.reason, task.detail, task.done_at) == (0, None, "", later(901))


def test_what_was_given_up_is_tried_when_it_is_wanted_again(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("a", "issuer")], NOW, again_s=300)
    tasks.failed("a", None, Reason.FETCH_REFUSED, "")
    assert keys(tasks, 1e9) == []
    tasks.want([wanted("a", "issuer")], later(1), again_s=300)
    assert keys(tasks, 1) == ["a"]


def test_lists_come_before_answers_before_issuers_each_with_its_own_limit(tasks: DbFetchTasks) -> None:
    for number in range(5):
        tasks.want([wanted(f"i{number}", "issuer"), wanted(f"o{number}", "ocsp"), wanted(f"c{number}")],
                   later(number), again_s=300)
    assert keys(tasks, 10, limit=2) == ["c0", "c1", "o0", "o1", "i0", "i1"]


@pytest.mark.parametrize("url", ["http://ca.test/" + "x" * fetch_tasks.URL_LENGTH_MAX, "http://ca.tést/"])
def test_urls_that_are_none_are_not_filed(tasks: DbFetchTasks, url: str) -> None:
    assert tasks.want([wanted("a", url=url)], NOW, again_s=300) == ()
    assert list(tasks.list()) == []


def test_a_flood_of_issuers_of_one_host_keeps_its_bound_and_touches_no_other(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("mine")], NOW, again_s=300)
    tasks.want([wanted("other", "issuer", "http://ca.test0/x"), wanted("bare", "issuer", "http://ca.test")], NOW,
               again_s=300)
    tasks.want([wanted("proven", "issuer")], NOW, again_s=300)
    tasks.done("proven", NOW, None)
    for number in range(fetch_tasks.UNPROVEN_PER_HOST_MAX + 10):
        tasks.want([wanted(f"f{number:03}", "issuer", f"http://ca.test/{number}")], later(number + 1), again_s=300)
    found = {task.request.key for task in tasks.list()}
    flood = {key for key in found if key.startswith("f")}
    assert flood == {f"f{number:03}" for number in range(10, fetch_tasks.UNPROVEN_PER_HOST_MAX + 10)}
    assert found - flood == {"mine", "other", "proven"}  # `bare` is of the same host, and was asked for longest ago


def test_the_total_is_bounded_and_what_ever_succeeded_stays(tasks: DbFetchTasks, monkeypatch: pytest.MonkeyPatch
                                                            ) -> None:
    monkeypatch.setattr(fetch_tasks, "ISSUERS_MAX", 5)
    monkeypatch.setattr(fetch_tasks, "TASKS_MAX", 3)
    tasks.want([wanted("good", "issuer", "http://good.test/")], NOW, again_s=300)
    tasks.done("good", NOW, None)
    for number in range(20):
        tasks.want([wanted(f"i{number}", "issuer", f"http://h{number}.test/")], later(number), again_s=300)
    assert {task.request.key for task in tasks.list()} == {"good", "i16", "i17", "i18", "i19"}
    for number in range(20):
        tasks.want([wanted(f"c{number}")], later(number), again_s=300)
    assert {task.request.key for task in tasks.list() if task.request.kind == "crl"} == {"c17", "c18", "c19"}


def test_what_nobody_asks_for_is_forgotten(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("old"), wanted("unproven")], NOW, again_s=300)
    tasks.done("old", NOW, later(1))
    assert tasks.forget(NOW, unproven_before=NOW) == 0
    assert tasks.forget(NOW, unproven_before=later(1)) == 1
    assert [task.request.key for task in tasks.list()] == ["old"]
    assert tasks.forget(later(1), unproven_before=later(1)) == 1


def test_being_asked_for_is_remembered_by_the_hour(tasks: DbFetchTasks) -> None:
    tasks.want([wanted("a")], NOW, again_s=1e9)
    tasks.want([wanted("a")], later(fetch_tasks.ASKED_EVERY_S + 1), again_s=1e9)
    assert tasks.get(["a"])[0].asked_at == later(fetch_tasks.ASKED_EVERY_S + 1)


@pytest.mark.parametrize("url", [
    "http://ViCtIm.test:{0}/x", "HTTP://victim.test?{0}", "http://victim.test#{0}", "http://victim.test:{0}?x",
    "http://u{0}@victim.test/x", "http://[2001:db8::A]:{0}/"])
def test_however_a_stranger_writes_a_host_it_is_one_host(tasks: DbFetchTasks, url: str) -> None:
    """Else made-up certificates would have the gateway knock a thousand times at somebody else's machine."""
    for number in range(fetch_tasks.UNPROVEN_PER_HOST_MAX + 10):
        tasks.want([wanted(f"f{number}", "issuer", url.format(1000 + number))], NOW, again_s=300)
    tasks.want([wanted("other", "issuer", "http://victim.test.other/x")], NOW, again_s=300)
    assert len(keys(tasks, limit=1000)) <= fetch_tasks.UNPROVEN_PER_HOST_MAX + 1
    assert "other" in keys(tasks, limit=1000)
