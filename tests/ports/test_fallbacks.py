"""The contract of FallbackBook, over the database: who waits, who was invited, who has a certificate since."""

from datetime import timedelta

import pytest

from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.fallbacks import BEGUN_FOR, DbFallbacks
from gateway.adapters.db.hold import DbHold
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.administration import NewCertificate
from gateway.ports.services.fallbacks import Fallen, Figures, WaitingMail, Waits, Without
from tests.support.pki import NOW, get_pki

ARCHIVE = get_pki().recipient("rsa-2048", email="archive@bank.example")
BEN = get_pki().recipient("p-256", email="ben@nowhere.example")
DAY = timedelta(days=1)
MAIL = Mail(b"From: otp@bank.example\r\n\r\nThe planted secret.\r\n",
            Envelope("otp@bank.example", (Recipient("Ben@nowhere.example"),)),
            Origin(ours=True, client="online-banking", received_at=NOW, incident="12ab"))


@pytest.fixture
def book(database):
    return DbFallbacks(database)


@pytest.fixture
def hold(database, clock, tmp_path):
    certificate, key, _ = ARCHIVE.write(tmp_path)
    key.chmod(0o600)
    return DbHold(database, clock, certificate, key)


def put(hold, way="hold", address="Ben@nowhere.example"):
    return hold.put(MAIL, (address,), kind="hold", direction="outbound", subject="", rule="s:statement",
                    reason="certificate.absent", waits=Waits(address, way, "any"))


def due(book, at, *, tell=True, invite=True):
    return book.due(look_before=at - timedelta(hours=1), tell_before=at - 3 * DAY if tell else None,
                    give_up_before=at - 30 * DAY, invite_before=at - 30 * DAY if invite else None,
                    ask_before=at - DAY)


def test_what_waits_is_written_with_the_mail_and_gone_with_it(book, hold, clock) -> None:
    first = put(hold)
    clock.forward(seconds=1)
    second = put(hold, "invite")
    assert book.waiting(10) == (
        WaitingMail(first, Waits("ben@nowhere.example", "hold", "any"), NOW, "s:statement", len(MAIL.octets), "12ab"),
        WaitingMail(second, Waits("ben@nowhere.example", "invite", "any"), clock.now(), "s:statement",
                    len(MAIL.octets), "12ab"))
    hold.settle(first, "released")
    hold.settle(second, "rejected")
    assert book.waiting(10) == ()


def test_what_was_looked_at_stands_back(book, hold, clock) -> None:
    first, second = put(hold), put(hold)
    book.looked([first], clock.now())
    assert [one.hold_id for one in book.waiting(10)] == [second, first]
    assert [one.hold_id for one in book.waiting(1)] == [second]


def test_a_mail_that_nobody_holds_for_a_certificate_does_not_wait(book, hold) -> None:
    hold.put(MAIL, ("ben@nowhere.example",), kind="hold", direction="outbound", subject="", rule="r", reason="x")
    assert book.waiting(10) == ()
    assert not due(book, NOW)


def test_something_is_to_do_when_nobody_has_looked_yet(book, hold, clock) -> None:
    hold_id = put(hold)
    assert due(book, NOW)
    book.looked([hold_id], NOW)
    assert not due(book, NOW)
    assert not due(book, NOW + timedelta(hours=1))
    assert due(book, NOW + timedelta(hours=1, seconds=1))


def test_something_is_to_do_at_once_when_a_certificate_comes(book, hold, clock, database) -> None:
    hold_id = put(hold)
    book.looked([hold_id], NOW)
    clock.forward(seconds=5)
    DbCertificates(database, clock).add([NewCertificate(BEN.certificate)])
    assert due(book, clock.now())
    book.looked([hold_id], clock.now() + timedelta(seconds=1))
    assert not due(book, clock.now() + timedelta(seconds=1))


def test_something_is_to_do_when_a_sender_is_to_hear(book, hold) -> None:
    hold_id, later = put(hold), NOW + 3 * DAY + timedelta(seconds=1)
    book.looked([hold_id], later)
    assert due(book, later)
    assert not due(book, later, tell=False)
    book.told(hold_id, later)
    assert book.waiting(1)[0].told_at == later
    assert not due(book, later)


def test_something_is_to_do_at_the_end_of_waiting(book, hold) -> None:
    hold_id, end = put(hold), NOW + 30 * DAY + timedelta(seconds=1)
    book.looked([hold_id], end)
    book.told(hold_id, end)
    assert due(book, end, invite=False)


def test_something_is_to_do_where_an_invitation_is_missing(book, hold) -> None:
    book.looked([put(hold, "invite")], NOW)
    assert due(book, NOW)
    assert not due(book, NOW, invite=False)
    assert book.may_invite("Ben@nowhere.example", NOW, not_since=NOW - 30 * DAY)
    book.invited("ben@nowhere.example", NOW)
    assert not due(book, NOW)


def test_one_invitation_in_so_many_days(book) -> None:
    def may(at):
        return book.may_invite("Ben@nowhere.example", at, not_since=at - 30 * DAY)

    assert may(NOW)
    assert not may(NOW), "somebody is at it"
    assert may(NOW + BEGUN_FOR), "whoever began it has died"
    book.invited("BEN@nowhere.example", NOW + BEGUN_FOR)
    assert not may(NOW + BEGUN_FOR + 29 * DAY)
    assert may(NOW + BEGUN_FOR + 30 * DAY)


def test_the_figures_of_each_rule_and_way(book) -> None:
    ben, cara = (Fallen(f"{name}@nowhere.example", "s:statement", "invite", "any") for name in ("Ben", "cara"))
    book.fell([ben, cara], NOW)
    book.fell([Fallen("ben@nowhere.example", "s:statement", "invite", "any"),
               Fallen("ben@nowhere.example", "t:letters", "plain_knowingly", "any")], NOW + DAY)
    book.may_invite("ben@nowhere.example", NOW, not_since=NOW)
    book.invited("ben@nowhere.example", NOW)
    assert book.figures() == (
        Figures("s:statement", "invite", 2, 3, 0, 1, NOW, NOW + DAY),
        Figures("t:letters", "plain_knowingly", 1, 1, 0, 1, NOW + DAY, NOW + DAY))
    book.seen("BEN@nowhere.example", found=True, at=NOW + 2 * DAY)
    assert [(one.way, one.people, one.converted) for one in book.figures()] == [
        ("invite", 2, 1), ("plain_knowingly", 1, 1)]
    book.fell([ben], NOW + 3 * DAY)
    assert [one.converted for one in book.figures()] == [0, 1], "whoever has none again has none"


def test_who_may_have_one_now(book, clock, database) -> None:
    book.fell([Fallen("ben@nowhere.example", "s:statement", "invite", "any"),
               Fallen("cara@nowhere.example", "s:statement", "hold", "enrolled")], NOW)
    assert book.without(NOW, 10) == ()
    clock.forward(seconds=1)
    DbCertificates(database, clock).add([NewCertificate(BEN.certificate)])
    assert book.without(NOW, 10) == (Without("ben@nowhere.example", "any"),)
    book.seen("ben@nowhere.example", found=False, at=clock.now() + timedelta(seconds=1))
    assert book.without(NOW, 10) == ()
    assert book.without(NOW + DAY, 1) == (Without("cara@nowhere.example", "enrolled"),)
    book.seen("cara@nowhere.example", found=True, at=NOW + DAY)
    assert book.without(NOW + 2 * DAY, 10) == (Without("ben@nowhere.example", "any"),)


def test_mail_in_clear_is_counted_many_together(book, database) -> None:
    """A commit for each would be a commit for most of a bank's mail. Nothing is counted twice or lost."""
    plain = [Fallen("ben@nowhere.example", "s:s", "plain_knowingly", "any")]
    for number in range(10):
        book.fell(plain, NOW + timedelta(seconds=number))
    assert [one.mails for one in book.figures()] == [1]
    book.flush()
    assert [(one.mails, one.first_at, one.last_at) for one in book.figures()] == [(10, NOW, NOW + timedelta(seconds=9))]
    book.fell(plain, NOW)
    book.fell([Fallen("ben@nowhere.example", "s:s", "hold", "any")], NOW)
    assert [(one.way, one.mails) for one in book.figures()] == [("hold", 1), ("plain_knowingly", 11)]


def test_what_is_long_ago_is_forgotten(book) -> None:
    book.fell([Fallen("ben@nowhere.example", "s:s", "hold", "any")], NOW)
    book.fell([Fallen("cara@nowhere.example", "s:s", "hold", "any")], NOW + DAY)
    book.may_invite("ben@nowhere.example", NOW, not_since=NOW)
    book.invited("ben@nowhere.example", NOW)
    book.forget(NOW + DAY)
    assert [one.people for one in book.figures()] == [1]
    assert book.may_invite("ben@nowhere.example", NOW + DAY, not_since=NOW - DAY)


def test_a_dead_database_is_told(dead_database) -> None:
    book = DbFallbacks(dead_database)
    for call in (lambda: book.waiting(1), lambda: due(book, NOW), lambda: book.may_invite("a@b", NOW, not_since=NOW),
                 lambda: book.fell([Fallen("a@b", "r:r", "hold", "any")], NOW), book.figures):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
