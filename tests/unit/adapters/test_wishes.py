"""What a mail's worker wishes for, and how long it waits. A real database; a thread plays the jobs process.

Truth: RFC 5280 for what a certificate names; the clock on the wall for how long a mail waits.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters.db.certificates.fetch_tasks import ATTENDED_S, DbFetchTasks
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.engine.database import Database
from gateway.adapters.fetch_requests import AWAITED_FAILURES, WAITING_FOR_ISSUERS_MAX, WAITING_MAX, FetchRequests
from gateway.clock import SystemClock
from gateway.errors import Reason
from gateway.ports.fetch import FetchTask
from gateway.settings import Fetch
from tests.support.databases import open_database
from tests.support.pki import Person
from tests.support.revocable import Revocable
from tests.support.web import WebServer


@pytest.fixture(scope="module")
def authority() -> Iterator[Revocable]:
    with WebServer() as server:
        yield Revocable(server)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def tasks(database: Database) -> DbFetchTasks:
    """Attended, as if the jobs were at work."""
    made = DbFetchTasks(database)
    made.attend(SystemClock().now())
    return made


def fetch_requests(database: Database, wait_s: float = 0.6, **settings: object) -> FetchRequests:
    clock = SystemClock()
    return FetchRequests(DbFetchTasks(database), DbCertificates(database, clock), clock,
                  Fetch.model_validate({"wait_s": wait_s} | settings))


class Jobs:
    """Does with each task that is due what `carry_out` says, until the `with` ends."""

    def __init__(self, tasks: DbFetchTasks, carry_out: Callable[[FetchTask], None]) -> None:
        self._tasks, self._carry_out, self._ended = tasks, carry_out, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            for task in self._tasks.due(SystemClock().now(), 10):
                self._carry_out(task)


def took(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def filed(tasks: DbFetchTasks) -> list[str]:
    return sorted(task.request.kind for task in tasks.list())


def anna(authority: Revocable, **places: object) -> Person:
    return authority.person("anna@partner.example", **places)  # type: ignore[arg-type]


def test_the_worker_goes_on_as_soon_as_the_list_is_there(authority: Revocable, database: Database, tasks: DbFetchTasks
                                                         ) -> None:
    person = anna(authority, ocsp=True)
    with Jobs(tasks, lambda task: tasks.done(task.request.key, SystemClock().now(), None)):
        assert took(lambda: fetch_requests(database, 20)(person.certificate, authority.mail_certificate)) < 1.0
    assert filed(tasks) == ["crl"]  # nobody was told with whom we correspond


def test_the_responder_is_asked_where_the_list_takes_too_long(authority: Revocable, database: Database,
                                                              tasks: DbFetchTasks) -> None:
    person = anna(authority, ocsp=True)

    def carry_out(task: FetchTask) -> None:
        if task.request.kind == "ocsp":
            tasks.done(task.request.key, SystemClock().now(), None)

    with Jobs(tasks, carry_out):
        assert 0.4 < took(lambda: fetch_requests(database, 1.0)(person.certificate, authority.mail_certificate)) < 0.9
    assert filed(tasks) == ["crl", "ocsp"]


def test_the_responder_is_asked_at_once_where_the_list_fails(authority: Revocable, database: Database,
                                                             tasks: DbFetchTasks) -> None:
    person = anna(authority, ocsp=True)

    def carry_out(task: FetchTask) -> None:
        if task.request.kind == "ocsp":
            tasks.done(task.request.key, SystemClock().now(), None)
        else:
            tasks.failed(task.request.key, None, Reason.FETCH_UNAVAILABLE, "")

    with Jobs(tasks, carry_out):
        assert took(lambda: fetch_requests(database, 20)(person.certificate, authority.mail_certificate)) < 1.5


def test_a_list_that_comes_late_ends_the_wait_for_the_responder(authority: Revocable, database: Database,
                                                                tasks: DbFetchTasks) -> None:
    person = anna(authority, ocsp=True)

    def carry_out(task: FetchTask) -> None:
        if task.request.kind == "crl" and len(filed(tasks)) == 2:  # only when the responder has been asked
            tasks.done(task.request.key, SystemClock().now(), None)

    with Jobs(tasks, carry_out):
        assert took(lambda: fetch_requests(database, 2.0)(person.certificate, authority.mail_certificate)) < 1.8


def test_nobody_fetches_and_the_worker_waits_no_longer_than_said(authority: Revocable, database: Database,
                                                                 tasks: DbFetchTasks) -> None:
    person = anna(authority, ocsp=True)
    wished = fetch_requests(database)
    assert 0.5 < took(lambda: wished(person.certificate, authority.mail_certificate)) < 1.0
    assert filed(tasks) == ["crl", "ocsp"]


def test_where_no_jobs_are_at_work_nobody_waits_and_the_list_stays_wanted(authority: Revocable, database: Database
                                                                          ) -> None:
    person, unattended = anna(authority, ocsp=True), DbFetchTasks(database)
    wished = fetch_requests(database, 20)
    assert took(lambda: wished(person.certificate, authority.mail_certificate)) < 0.5
    assert took(lambda: wished.missing(person.certificate)) < 0.5
    assert filed(unattended) == ["crl", "issuer"]
    unattended.attend(SystemClock().now() - timedelta(seconds=ATTENDED_S + 1))  # they died a while ago
    assert took(lambda: wished(person.certificate, authority.mail_certificate)) < 0.5


def test_an_issuer_is_awaited_until_it_is_refused_or_has_failed_for_a_while(authority: Revocable, database: Database,
                                                                            tasks: DbFetchTasks) -> None:
    person, wished = anna(authority), fetch_requests(database, 0.05)
    assert not wished.awaits_issuer(person.certificate), "nobody has asked for it"
    wished.missing(person.certificate)
    assert wished.awaits_issuer(person.certificate)
    (task,) = tasks.list()
    for _ in range(AWAITED_FAILURES - 1):
        tasks.failed(task.request.key, None, Reason.FETCH_UNAVAILABLE, "")
    assert wished.awaits_issuer(person.certificate)
    tasks.failed(task.request.key, None, Reason.FETCH_UNAVAILABLE, "")
    assert not wished.awaits_issuer(person.certificate)
    tasks.done(task.request.key, SystemClock().now(), None)
    assert not wished.awaits_issuer(person.certificate), "what came did not help"


def test_an_issuer_that_may_not_be_fetched_is_awaited_by_nobody(authority: Revocable, database: Database,
                                                                tasks: DbFetchTasks) -> None:
    person, wished = anna(authority), fetch_requests(database, 0.05)
    wished.missing(person.certificate)
    (task,) = tasks.list()
    tasks.failed(task.request.key, None, Reason.FETCH_REFUSED, "")
    assert not wished.awaits_issuer(person.certificate)


def test_what_failed_before_is_not_waited_for_again(authority: Revocable, database: Database, tasks: DbFetchTasks
                                                    ) -> None:
    person, wished = anna(authority, ocsp=True), fetch_requests(database, 0.1)
    wished(person.certificate, authority.mail_certificate)
    for task in tasks.list():
        tasks.failed(task.request.key, None, Reason.FETCH_UNAVAILABLE, "")
    slow = fetch_requests(database, 20)
    assert took(lambda: slow(person.certificate, authority.mail_certificate)) < 0.5


def test_a_certificate_that_names_nothing_costs_nothing(authority: Revocable, database: Database, tasks: DbFetchTasks
                                                        ) -> None:
    person, wished = anna(authority, lists=(), issuer=False), fetch_requests(database, 20)
    assert took(lambda: wished(person.certificate, authority.mail_certificate)) < 0.2
    assert wished.missing(person.certificate) is False
    assert filed(tasks) == []


def test_a_flood_of_mails_keeps_no_more_than_a_few_workers_waiting(authority: Revocable, database: Database,
                                                                   tasks: DbFetchTasks) -> None:
    wished = fetch_requests(database, 1.0)
    people = [authority.person(f"p{number}@partner.example", lists=(f"/{number}.crl",))
              for number in range(WAITING_MAX + 6)]
    waited: list[float] = []
    threads = [threading.Thread(target=lambda one=one: waited.append(
        took(lambda: wished(one.certificate, authority.mail_certificate)))) for one in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one > 0.45 for one in waited) <= WAITING_MAX


def test_an_issuer_that_was_just_learned_is_worth_another_search(authority: Revocable, database: Database,
                                                                 tasks: DbFetchTasks) -> None:
    person, wished = anna(authority), fetch_requests(database, 20)
    with Jobs(tasks, lambda task: tasks.done(task.request.key, SystemClock().now(), None)):
        assert wished.missing(person.certificate) is True
    assert wished.missing(person.certificate) is False  # it was looked for already: what came did not help
    assert filed(tasks) == ["issuer"]


def test_an_issuer_that_cannot_be_had_is_not(authority: Revocable, database: Database, tasks: DbFetchTasks) -> None:
    with Jobs(tasks, lambda task: tasks.failed(task.request.key, None, Reason.FETCH_REFUSED, "")):
        assert fetch_requests(database, 20).missing(anna(authority).certificate) is False


def test_waiting_for_issuers_has_its_own_bound(authority: Revocable, database: Database, tasks: DbFetchTasks) -> None:
    assert WAITING_FOR_ISSUERS_MAX < WAITING_MAX
    wished = fetch_requests(database, 0.8)
    waited: list[float] = []
    with WebServer() as elsewhere:
        strangers = [Revocable(elsewhere, f"Stranger {number}").person("eve@stranger.example")
                     for number in range(WAITING_FOR_ISSUERS_MAX + 4)]
    threads = [threading.Thread(target=lambda one=one: waited.append(took(lambda: wished.missing(one.certificate))))
               for one in strangers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one > 0.7 for one in waited) <= WAITING_FOR_ISSUERS_MAX


def test_a_store_that_does_not_answer_holds_nobody(authority: Revocable, tmp_path: Path) -> None:
    broken = open_database(tmp_path / "broken.db")
    wished = fetch_requests(broken, 20)
    with broken.writers.connect() as connection:
        connection.exec_driver_sql("DROP TABLE fetch_task")
        connection.commit()
    person = anna(authority)
    assert took(lambda: wished(person.certificate, authority.mail_certificate)) < 1.0
    assert wished.missing(person.certificate) is False
    broken.close()
