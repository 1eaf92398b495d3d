"""The contract of Callbacks, over either kind of database. Truth: the port's words, on the order of what was filed."""

import json
from datetime import timedelta

import pytest

from gateway.adapters.db.callbacks import DbCallbacks
from gateway.errors import GatewayError, Reason
from gateway.ports.services.callbacks import Event
from tests.support.pki import NOW


def event(subject: str, kind: str = "code.delivered", client: str = "portal", **more) -> Event:
    return Event(client, subject, kind, NOW, **more)


@pytest.fixture
def book(database) -> DbCallbacks:
    return DbCallbacks(database)


def due(book: DbCallbacks, at=NOW, limit: int = 100) -> list[tuple[str, str]]:
    return [(call.subject, call.kind) for call in book.due(at, limit)]


def test_an_event_is_filed_once(book: DbCallbacks) -> None:
    assert book.file(event("a"))
    assert not book.file(event("a"))
    assert book.file() == 0
    assert book.file(event("a"), event("a", key="2")) == 1
    assert book.file(event("a", client="other"))
    assert len(book.due(NOW, 10)) == 2, "the second of portal's `a` waits for the first"


def test_what_is_posted(book: DbCallbacks) -> None:
    book.file(event("a", data={"customer": "1001", "permanent": True}))
    (call,) = book.due(NOW, 1)
    assert json.loads(call.body) == {
        "event": call.event, "kind": "code.delivered", "subject": "a", "customer": "1001", "permanent": True,
        "at": NOW.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    assert len(call.event) == 32
    assert (call.at, call.tries) == (NOW, 0)


def test_nothing_is_due_before_it_happened(book: DbCallbacks) -> None:
    book.file(event("a"))
    assert due(book, NOW - timedelta(microseconds=1)) == []


def test_of_one_subject_the_first_only_until_it_is_taken(book: DbCallbacks) -> None:
    for subject, kind in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "2")]:
        book.file(event(subject, kind))
    assert due(book) == [("a", "1"), ("b", "1")]
    first, other = book.due(NOW, 10)
    book.later(first, NOW + timedelta(seconds=5))
    book.taken(other)
    assert due(book) == [("b", "2")], "nothing of `a` overtakes what has failed"
    later = NOW + timedelta(seconds=5)
    (again, _) = book.due(later, 10)
    assert (again.event, again.tries) == (first.event, 1)
    book.taken(again)
    assert due(book, later) == [("a", "2"), ("b", "2")]


def test_a_subject_of_two_clients_is_two(book: DbCallbacks) -> None:
    book.file(event("a"))
    book.file(event("a", client="other"))
    assert len(book.due(NOW, 10)) == 2


def test_clients_that_are_not_called_now_take_nobodys_place(book: DbCallbacks) -> None:
    for number in range(5):
        book.file(event(str(number)))
    book.file(event("x", client="other"))
    assert [call.client for call in book.due(NOW, 2, {"portal"})] == ["other"]
    assert book.due(NOW, 2, ["portal", "other"]) == ()


def test_no_more_at_once_than_was_asked_for(book: DbCallbacks) -> None:
    for number in range(5):
        book.file(event(str(number)))
    assert due(book, limit=2) == [("0", "code.delivered"), ("1", "code.delivered")]


def test_a_database_that_is_gone_says_so(dead_database) -> None:
    for work in (lambda: DbCallbacks(dead_database).due(NOW, 1), lambda: DbCallbacks(dead_database).file(event("a"))):
        with pytest.raises(GatewayError) as caught:
            work()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
