"""The contract of FallbackBook, over the database: who waits, who was invited, who has a certificate since."""

from datetime import timedelta

import pytest

from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.fallbacks import CLAIM_LIFETIME, DbFallbacks
from gateway.adapters.db.hold import DbHold
from gateway.errors import GatewayError, Reason
from gateway.model.fallbacks import FALLBACKS
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.administration import NewCertificate
from gateway.ports.services.fallbacks import CertificateWait, FallbackUse, Figures, Person, WaitingMail
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
                    reason="certificate.absent", wait=CertificateWait(address, way, "any"))


def due(book, at, *, tell=True, invite=True):
    return book.due(examine_before=at - timedelta(hours=1), notify_before=at - 3 * DAY if tell else None,
                    return_before=at - 30 * DAY, invite_before=at - 30 * DAY if invite else None,
                    ask_before=at - DAY)


def test_what_waits_is_written_with_the_mail_and_gone_with_it(book, hold, clock) -> None:
    first = put(hold)
    clock.forward(seconds=1)
    second = put(hold, "invite")
    assert book.waiting(10) == (
        WaitingMail(first, CertificateWait("ben@nowhere.example", "hold", "any"), NOW, "s:statement",
                    len(MAIL.octets), "12ab"),
        WaitingMail(second, CertificateWait("ben@nowhere.example", "invite", "any"), clock.now(), "s:statement",
                    len(MAIL.octets), "12ab"))
    hold.settle(first, "released")
    hold.settle(second, "rejected")
    assert book.waiting(10) == ()


def test_what_was_looked_at_stands_back(book, hold, clock) -> None:
    first, second = put(hold), put(hold)
    book.mark_examined([first], clock.now())
    assert [one.hold_id for one in book.waiting(10)] == [second, first]
    assert [one.hold_id for one in book.waiting(1)] == [second]


def test_a_mail_that_nobody_holds_for_a_certificate_does_not_wait(book, hold) -> None:
    hold.put(MAIL, ("ben@nowhere.example",), kind="hold", direction="outbound", subject="", rule="r", reason="x")
    assert book.waiting(10) == ()
    assert not due(book, NOW)


def test_something_is_to_do_when_nobody_has_looked_yet(book, hold, clock) -> None:
    hold_id = put(hold)
    assert due(book, NOW)
    book.mark_examined([hold_id], NOW)
    assert not due(book, NOW)
    assert not due(book, NOW + timedelta(hours=1))
    assert due(book, NOW + timedelta(hours=1, seconds=1))


def test_something_is_to_do_at_once_when_a_certificate_comes(book, hold, clock, database) -> None:
    hold_id = put(hold)
    book.mark_examined([hold_id], NOW)
    clock.forward(seconds=5)
    DbCertificates(database, clock).add([NewCertificate(BEN.certificate)])
    assert due(book, clock.now())
    book.mark_examined([hold_id], clock.now() + timedelta(seconds=1))
    assert not due(book, clock.now() + timedelta(seconds=1))


def test_something_is_to_do_when_a_sender_is_to_hear(book, hold) -> None:
    hold_id, later = put(hold), NOW + 3 * DAY + timedelta(seconds=1)
    book.mark_examined([hold_id], later)
    assert due(book, later)
    assert not due(book, later, tell=False)
    book.mark_notified(hold_id, later)
    assert book.waiting(1)[0].notified_at == later
    assert not due(book, later)


def test_something_is_to_do_at_the_end_of_waiting(book, hold) -> None:
    hold_id, end = put(hold), NOW + 30 * DAY + timedelta(seconds=1)
    book.mark_examined([hold_id], end)
    book.mark_notified(hold_id, end)
    assert due(book, end, invite=False)


def test_something_is_to_do_where_an_invitation_is_missing(book, hold) -> None:
    book.mark_examined([put(hold, "invite")], NOW)
    assert due(book, NOW)
    assert not due(book, NOW, invite=False)
    assert book.begin_invitation("Ben@nowhere.example", NOW, not_since=NOW - 30 * DAY)
    book.mark_invited("ben@nowhere.example", NOW)
    assert not due(book, NOW)


def test_one_invitation_in_so_many_days(book) -> None:
    def may(at):
        return book.begin_invitation("Ben@nowhere.example", at, not_since=at - 30 * DAY)

    assert may(NOW)
    assert not may(NOW), "somebody is at it"
    assert may(NOW + CLAIM_LIFETIME), "whoever began it has died"
    book.mark_invited("BEN@nowhere.example", NOW + CLAIM_LIFETIME)
    assert not may(NOW + CLAIM_LIFETIME + 29 * DAY)
    assert may(NOW + CLAIM_LIFETIME + 30 * DAY)


def test_the_figures_of_each_rule_and_way(book) -> None:
    ben, cara = (FallbackUse(f"{name}@nowhere.example", "s:statement", "invite", "any") for name in ("Ben", "cara"))
    book.add([ben, cara], NOW)
    book.add([FallbackUse("ben@nowhere.example", "s:statement", "invite", "any"),
               FallbackUse("ben@nowhere.example", "t:letters", "plain_knowingly", "any")], NOW + DAY)
    book.begin_invitation("ben@nowhere.example", NOW, not_since=NOW)
    book.mark_invited("ben@nowhere.example", NOW)
    assert book.figures() == (
        Figures("s:statement", "invite", 2, 3, 0, 1, NOW, NOW + DAY),
        Figures("t:letters", "plain_knowingly", 1, 1, 0, 1, NOW + DAY, NOW + DAY))
    book.mark_person("BEN@nowhere.example", found=True, at=NOW + 2 * DAY)
    assert [(one.way, one.people, one.converted) for one in book.figures()] == [
        ("invite", 2, 1), ("plain_knowingly", 1, 1)]
    book.add([ben], NOW + 3 * DAY)
    assert [one.converted for one in book.figures()] == [0, 1], "whoever has none again has none"


def test_who_may_have_one_now(book, clock, database) -> None:
    book.add([FallbackUse("ben@nowhere.example", "s:statement", "invite", "any"),
               FallbackUse("cara@nowhere.example", "s:statement", "hold", "enrolled")], NOW)
    assert book.people(NOW, 10) == ()
    clock.forward(seconds=1)
    DbCertificates(database, clock).add([NewCertificate(BEN.certificate)])
    assert book.people(NOW, 10) == (Person("ben@nowhere.example", "any"),)
    book.mark_person("ben@nowhere.example", found=False, at=clock.now() + timedelta(seconds=1))
    assert book.people(NOW, 10) == ()
    assert book.people(NOW + DAY, 1) == (Person("cara@nowhere.example", "enrolled"),)
    book.mark_person("cara@nowhere.example", found=True, at=NOW + DAY)
    assert book.people(NOW + 2 * DAY, 10) == (Person("ben@nowhere.example", "any"),)


def test_mail_in_clear_is_counted_many_together(book, database) -> None:
    """A commit for each would be a commit for most of a bank's mail. Nothing is counted twice or lost."""
    plain = [FallbackUse("ben@nowhere.example", "s:s", "plain_knowingly", "any")]
    for number in range(10):
        book.add(plain, NOW + timedelta(seconds=number))
    assert [one.mails for one in book.figures()] == [1]
    book.flush()
    assert [(one.mails, one.first_at, one.last_at) for one in book.figures()] == [(10, NOW, NOW + timedelta(seconds=9))]
    book.add(plain, NOW)
    book.add([FallbackUse("ben@nowhere.example", "s:s", "hold", "any")], NOW)
    assert [(one.way, one.mails) for one in book.figures()] == [("hold", 1), ("plain_knowingly", 11)]


def test_what_is_long_ago_is_forgotten(book) -> None:
    book.add([FallbackUse("ben@nowhere.example", "s:s", "hold", "any")], NOW)
    book.add([FallbackUse("cara@nowhere.example", "s:s", "hold", "any")], NOW + DAY)
    book.begin_invitation("ben@nowhere.example", NOW, not_since=NOW)
    book.mark_invited("ben@nowhere.example", NOW)
    book.forget(NOW + DAY)
    assert [one.people for one in book.figures()] == [1]
    assert book.begin_invitation("ben@nowhere.example", NOW + DAY, not_since=NOW - DAY)


def test_a_dead_database_is_told(dead_database) -> None:
    book = DbFallbacks(dead_database)
    for call in (lambda: book.waiting(1), lambda: due(book, NOW),
                 lambda: book.begin_invitation("a@b", NOW, not_since=NOW),
                 lambda: book.add([FallbackUse("a@b", "r:r", "hold", "any")], NOW), book.figures):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_a_database_takes_every_fallback_of_the_table(book, hold) -> None:
    """It lists their names: a new one needs a migration."""
    book.add([FallbackUse("ben@nowhere.example", "s:s", one.name, "any") for one in FALLBACKS.values()], NOW)
    book.flush()
    assert {one.way for one in book.figures()} == set(FALLBACKS)
    held = {one.name for one in FALLBACKS.values() if one.held}
    for name in held:
        put(hold, name)
    assert {one.wait.way for one in book.waiting(10)} == held
