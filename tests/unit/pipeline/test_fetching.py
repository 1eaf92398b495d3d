"""One fetch task carried out against a real server and a real database.

Truth: what `cryptography` signs as lists, answers and certificates; RFC 5652 bundles by `openssl crl2pkcs7`'s form, as
`cryptography` writes it.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from gateway.adapters.db.certificates.fetch_tasks import NEVER, DbFetchTasks
from gateway.adapters.db.certificates.revocations import DbRevocations
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.tables.mail import moment
from gateway.adapters.web.client import Web
from gateway.authority import ca
from gateway.authority.ca import Authority, Naming
from gateway.clock import SystemClock
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import Reason
from gateway.pipeline.background.fetching import Fetching, Terms, next_fetch
from gateway.pki.revocation.entries import authority_id
from gateway.pki.revocation.fetch_list import crl_requests, issuer_crl_requests, issuer_requests, ocsp_requests
from gateway.pki.revocation.table import StoredRevocation
from gateway.pki.trust import TrustSet, anchors_of
from gateway.ports.fetch import FetchTask
from tests.support.databases import open_database
from tests.support.pki import Person, pem
from tests.support.revocable import DAY, Revocable, now
from tests.support.web import WebServer, reply

SCHEMES = frozenset({"http"})
TERMS = Terms(SCHEMES, 2.0, 1_000_000, 43_200.0, 300.0)


class Room:
    """Everything but the jobs' loop."""

    def __init__(self, path: Path, authority: Revocable) -> None:
        self.authority = authority
        self.database = open_database(path / "store.db")
        clock = SystemClock()
        self.tasks, self.lists = DbFetchTasks(self.database), DbRevocations(self.database)
        self.certificates = DbCertificates(self.database, clock)
        self.trust = TrustSet(signers=anchors_of([parse_certificate(authority.root.der)]), known=self.certificates)
        self.web = Web(schemes=SCHEMES, networks=("127.0.0.0/8",))
        self.fetching = Fetching(self.web, self.tasks, self.lists, self.certificates, lambda: self.trust,
                                 StoredRevocation(self.lists), clock, TERMS)

    def close(self) -> None:
        self.web.close()
        self.database.close()

    def carried_out(self, wanted: tuple, **at: datetime) -> FetchTask:
        """The task as it stands afterwards."""
        (task, *_) = self.tasks.want(wanted, at.get("at", now()), again_s=300)
        trouble = self.fetching.carry_out(task)
        (after,) = self.tasks.get([task.request.key])
        assert (trouble.reason if trouble else None) is after.reason
        return after

    def issuers(self) -> dict[str, str]:
        """Subject to source of what the store keeps."""
        return {entry.subject.split(",")[0].removeprefix("CN="): entry.row.source
                for entry in self.certificates.list(issuers=True)}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with WebServer() as server:
        opened = Room(tmp_path, Revocable(server))
        yield opened
        opened.close()


def anna(room: Room, **places: object) -> Person:
    return room.authority.person("anna@partner.example", **places)  # type: ignore[arg-type]


# --- lists and answers


def test_a_list_is_stored_and_comes_again_before_it_ends(room: Room) -> None:
    person, mail = anna(room), room.authority.mail_certificate
    room.authority.revoke(person)
    room.authority.publish(life=timedelta(hours=2))
    task = room.carried_out(crl_requests(person.certificate, mail, SCHEMES))
    assert (task.failures, task.reason) == (0, None)
    (stored,) = room.lists.lists(authority_id(mail))
    assert stored.url == room.authority.server.url("/mail.crl")
    assert len(stored.records) == 30
    assert timedelta(hours=1.7) < task.due_at - now() < timedelta(hours=1.85)  # a tenth of the time before the end
    assert room.authority.server.requests[0].headers["accept"].startswith("application/pkix-crl")


def test_a_list_that_somebody_else_signed_is_not_stored(room: Room) -> None:
    person, mail = anna(room), room.authority.mail_certificate
    with WebServer() as elsewhere:
        stranger = Revocable(elsewhere)  # the same names, other keys
        room.authority.server.answers["/mail.crl"] = reply(stranger.publish())
    task = room.carried_out(crl_requests(person.certificate, mail, SCHEMES))
    assert task.reason in {Reason.REVOCATION_ALTERED, Reason.REVOCATION_UNTRUSTED}
    assert room.lists.lists(authority_id(mail)) == ()


@pytest.mark.parametrize(("answer", "reason"), [
    (None, Reason.FETCH_REFUSED), (reply(b"<html>"), Reason.REVOCATION_MALFORMED),
    (reply(b""), Reason.REVOCATION_MALFORMED), (reply(b"", "503 Busy"), Reason.FETCH_UNAVAILABLE),
    (reply(bytes(1_000_001)), Reason.FETCH_TOO_LARGE)])
def test_what_is_no_list_fails_and_is_tried_ever_more_seldom(room: Room, answer: bytes | None, reason: Reason) -> None:
    if answer is not None:
        room.authority.server.answers["/mail.crl"] = answer
    wanted = crl_requests(anna(room).certificate, room.authority.mail_certificate, SCHEMES)
    waits = []
    for failures in range(1, 5):
        task = room.carried_out(wanted)
        assert (task.failures, task.reason) == (failures, reason)
        waits.append(round((task.due_at - now()).total_seconds() / 300))
    assert waits == [1, 2, 4, 4]


def test_an_older_list_from_a_mirror_changes_nothing(room: Room) -> None:
    person, mail = anna(room), room.authority.mail_certificate
    old = room.authority.publish(age=timedelta(hours=1))
    room.authority.publish()
    wanted = crl_requests(person.certificate, mail, SCHEMES)
    assert room.carried_out(wanted).reason is None
    room.authority.server.answers["/mail.crl"] = reply(old)
    task = room.carried_out(wanted)
    assert task.reason is None
    assert [one.number for one in room.lists.lists(authority_id(mail))] == [2]


def test_an_answer_is_asked_with_a_nonce_and_stored(room: Room) -> None:
    person, mail = anna(room, lists=(), ocsp=True), room.authority.mail_certificate
    room.authority.respond(person)
    task = room.carried_out(ocsp_requests(person.certificate, mail, SCHEMES))
    assert (task.reason, task.due_at) == (None, moment(NEVER))
    answer = room.lists.answer(authority_id(mail), person.certificate.serial)
    assert answer is not None
    assert answer.status == "good"


def test_what_is_no_list_is_given_up_when_nobody_asks(room: Room) -> None:
    person = anna(room, lists=(), ocsp=True)
    wanted = ocsp_requests(person.certificate, room.authority.mail_certificate, SCHEMES)
    assert room.carried_out(wanted, at=now() - 2 * DAY).due_at == moment(NEVER)


# --- issuers


def bundle(*ders: bytes) -> bytes:
    return pkcs7.serialize_certificates([x509.load_der_x509_certificate(der) for der in ders], Encoding.DER)


@pytest.mark.parametrize("form", ["der", "pem", "p7c", "p7c of many", "pem with a bad one"])
def test_an_issuer_in_every_form_that_servers_have(room: Room, form: str) -> None:
    mail, other = room.authority.mail.der, anna(room, chain=False).der
    octets = {"der": mail, "pem": pem(mail), "p7c": bundle(mail), "pem with a bad one": pem(other[:-1]) + pem(mail),
              "p7c of many": bundle(other, room.authority.root.der, mail)}[form]
    room.authority.server.answers["/mail.cer"] = reply(octets)
    task = room.carried_out(issuer_requests(anna(room).certificate, SCHEMES))
    assert (task.reason, task.due_at) == (None, moment(NEVER))
    assert room.issuers() == {"Partner Mail CA": "aia"}


def below(room: Room, path: str, issuer: Authority, name: str) -> Authority:
    """An intermediate that says its issuer lies at `path`."""
    return ca.create_intermediate(
        issuer, Naming(name, "Partner", "DE"), ca.generate_signing_key("p-256"), now() - DAY, now() + 100 * DAY,
        extensions=room.authority.places(path, lists=()))


def test_several_issuers_one_above_the_other(room: Room) -> None:
    issuing = below(room, "mail", room.authority.mail, "Issuing CA")
    room.authority.server.answers["/issuing.cer"] = reply(issuing.der)
    person = room.authority.person("ben@partner.example", by=issuing)
    leaf = parse_certificate(person.der)
    assert room.carried_out(wanted_at(room, leaf, "/issuing.cer")).reason is None
    assert room.issuers() == {"Partner Mail CA": "aia", "Issuing CA": "aia"}


def wanted_at(room: Room, leaf: Certificate, path: str) -> tuple:
    (one,) = issuer_requests(leaf, SCHEMES)
    return (replace(one, url=room.authority.server.url(path)),)


def test_a_strangers_hierarchy_is_not_kept(room: Room) -> None:
    with WebServer() as elsewhere:
        stranger = Revocable(elsewhere, "Stranger")
        task = room.carried_out(issuer_requests(stranger.person("eve@stranger.example").certificate, SCHEMES))
    assert task.reason is Reason.PATH_UNTRUSTED_ROOT
    assert room.issuers() == {}


@pytest.mark.parametrize("case", ["no issuer of it", "another key", "no CA", "nothing", "too large"])
def test_what_is_no_issuer_is_not_kept(room: Room, case: str) -> None:
    with WebServer() as elsewhere:
        twin = Revocable(elsewhere)
        octets = {"no issuer of it": room.authority.root.der, "another key": twin.mail.der,
                  "no CA": anna(room, chain=False).der, "nothing": b"", "too large": bytes(65_537)}[case]
    room.authority.server.answers["/mail.cer"] = reply(octets)
    task = room.carried_out(issuer_requests(anna(room).certificate, SCHEMES))
    assert task.reason is {"nothing": Reason.CERTIFICATE_MALFORMED, "too large": Reason.FETCH_TOO_LARGE}.get(
        case, Reason.PATH_ISSUER_MISSING)
    assert room.issuers() == {}


# --- what is wanted, and when again


def test_urls_of_other_schemes_are_not_wanted(room: Room) -> None:
    person, mail = anna(room, ocsp=True), room.authority.mail_certificate
    assert crl_requests(person.certificate, mail, {"https", "ldap"}) == ()
    assert ocsp_requests(person.certificate, mail, {"https"}) == ()
    assert issuer_requests(person.certificate, ()) == ()
    assert len(crl_requests(person.certificate, mail, SCHEMES)) == 1


def test_one_task_for_all_certificates_of_one_issuer(room: Room) -> None:
    mail = room.authority.mail_certificate
    people = [room.authority.person(f"p{number}@partner.example", ocsp=True) for number in range(3)]
    assert len({one.key for p in people for one in crl_requests(p.certificate, mail, SCHEMES)}) == 1
    assert len({one.key for p in people for one in issuer_requests(p.certificate, SCHEMES)}) == 1
    assert len({one.key for p in people for one in ocsp_requests(p.certificate, mail, SCHEMES)}) == 3


def test_lists_about_issuers_below_trusted_roots_alone(room: Room) -> None:
    with WebServer() as elsewhere:
        stranger = Revocable(elsewhere, "Stranger")
        found = issuer_crl_requests([room.authority.mail_certificate, stranger.mail_certificate], room.trust, SCHEMES)
    assert [one.url for one in found] == [room.authority.server.url("/root.crl")]


AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(("life", "wait"), [
    (None, timedelta(hours=12)), (timedelta(days=7), timedelta(hours=12)), (timedelta(hours=10), timedelta(hours=9)),
    (timedelta(hours=12), timedelta(hours=11)), (timedelta(seconds=30), timedelta(seconds=30)),
    (timedelta(seconds=100), timedelta(seconds=90)), (timedelta(0), timedelta(minutes=5)),
    (-timedelta(days=1), timedelta(minutes=5))])
def test_when_a_list_comes_again(life: timedelta | None, wait: timedelta) -> None:
    assert next_fetch(AT, None if life is None else AT + life, TERMS) - AT == wait
