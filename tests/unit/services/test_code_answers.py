"""A customer's "not me", over the whole inbound way: mails that openssl signs, the demo's bank, its database.

Who may block whom is the promise of services.codes.inbound; each attack of its list is tried here.
"""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters.db.callbacks import DbCallbacks
from gateway.demo import openssl
from gateway.demo.openssl import Person
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from gateway.ports.services.codes import CodeState
from tests.support.bank import Context
from tests.support.returned import MAILBOX, NO_LIMITS, Reply, bounce, row

CODE, OTHER = "ab" * 12, "cd" * 12
SECURITY = "security@bank.example"


@pytest.fixture
def reply(bank: Context) -> Reply:
    """Anna has a code, a minute old; so has Ben."""
    now = bank.gateway.clock.now()
    minute = timedelta(minutes=1)
    for code, customer in ((CODE, "10001"), (OTHER, "10002")):
        assert bank.gateway.store.codes.issue(row(code, customer, now - minute, now + 5 * minute), NO_LIMITS) is None
    return Reply(bank.gateway._loaded.settings, f"{CODE}-1")


@pytest.fixture
def anna(bank: Context) -> Person:
    return bank.bank.people["anna"]


def answered(bank: Context, octets: bytes, to: str = MAILBOX, sender: str = "anna@customer.example") -> Outcome:
    return bank.gateway.handle(bank.receive(octets, to, sender=sender))


def blocked(bank: Context) -> list[tuple[str, str]]:
    return [(one.customer, one.by) for one in bank.gateway.store.codes.blocks()]


def alarms(bank: Context) -> list[bytes]:
    return [octets for to, octets, _ in bank.inbound.taken if SECURITY in to]


def test_a_signed_answer_blocks_and_alarms_and_is_served(bank: Context, reply: Reply, anna: Person) -> None:
    outcome = answered(bank, reply.signed(anna))
    assert [(one.settled, one.rule) for one in outcome.recipients] == [(Settled.SERVED, "policy:codes-back")]
    assert blocked(bank) == [("10001", "customer")]
    found = bank.gateway.store.codes.get(CODE)
    assert found is not None
    assert found.state is CodeState.BLOCKED
    (alarm,) = alarms(bank)
    assert b"Auto-Submitted: auto-generated" in alarm
    assert b"multipart/signed" in alarm
    assert b"unblock 10001" in alarm.replace(b"=\r\n", b"")
    (record,) = bank.gateway.store.evidence.find(outcome.incident)
    assert record.settled is Settled.SERVED
    assert record.next_hop_reply == f"codes: code not requested, customer blocked: {CODE}"
    assert bank.gateway.store.codes.get(OTHER).state is CodeState.LIVE  # type: ignore[union-attr]


def test_the_return_path_names_the_code_as_well(bank: Context, reply: Reply, anna: Person) -> None:
    octets = reply.signed(anna).replace(f"In-Reply-To: {reply.message_id}\r\n".encode(), b"")
    assert answered(bank, octets, reply.return_path).recipients[0].settled is Settled.SERVED
    assert blocked(bank) == [("10001", "customer")]


def test_references_name_it_too(bank: Context, reply: Reply, anna: Person) -> None:
    octets = reply.signed(anna).replace(b"In-Reply-To:", b"References: <older@customer.example>")
    assert answered(bank, octets).recipients[0].settled is Settled.SERVED
    assert blocked(bank) == [("10001", "customer")]


def test_the_same_answer_twice_alarms_once(bank: Context, reply: Reply, anna: Person) -> None:
    octets = reply.signed(anna)
    for _ in range(2):
        assert answered(bank, octets).recipients[0].settled is Settled.SERVED
    assert len(alarms(bank)) == 1


def test_an_answer_that_was_kept_undoes_no_unblocking(bank: Context, reply: Reply, anna: Person) -> None:
    octets = reply.signed(anna)
    answered(bank, octets)
    assert bank.gateway.store.codes.unblock("10001")
    assert answered(bank, octets).recipients[0].settled is Settled.SERVED
    assert blocked(bank) == []
    assert len(alarms(bank)) == 1


def test_the_block_comes_before_the_alarm_and_the_alarm_is_tried_again(
    bank: Context, reply: Reply, anna: Person,
) -> None:
    bank.inbound.codes[SECURITY] = 451
    octets = reply.signed(anna)
    outcome = answered(bank, octets)
    assert outcome.answer is Settled.LATER
    assert blocked(bank) == [("10001", "customer")]
    del bank.inbound.codes[SECURITY]
    assert answered(bank, octets).answer is Settled.TAKEN
    assert answered(bank, octets).answer is Settled.TAKEN
    assert len(alarms(bank)) == 1


def test_an_alarm_that_nobody_takes_holds_up_no_block(bank: Context, reply: Reply, anna: Person) -> None:
    bank.inbound.codes[SECURITY] = 550
    assert answered(bank, reply.signed(anna)).recipients[0].settled is Settled.SERVED
    assert blocked(bank) == [("10001", "customer")]


def refused(outcome: Outcome) -> bool:
    return [(one.settled, one.reason) for one in outcome.recipients] == [(Settled.REFUSED, Reason.SERVICE_REFUSED)]


def test_an_unsigned_answer_blocks_nobody_and_is_told_once(bank: Context, reply: Reply) -> None:
    for _ in range(2):
        assert refused(answered(bank, reply.plain()))
    assert blocked(bank) == []
    (alarm,) = alarms(bank)
    assert b"without proof" in alarm


def test_a_stranger_blocks_nobody(bank: Context, reply: Reply) -> None:
    """Ben has a certificate of the bank's, and the Message-ID of Anna's code."""
    ben = bank.bank.people["ben"]
    assert refused(answered(bank, reply.signed(ben)))
    assert refused(answered(bank, reply.signed(ben, "anna@customer.example")))  # his signature below her From
    assert blocked(bank) == []
    assert len(alarms(bank)) == 1


def test_a_signature_over_a_part_blocks_nobody(bank: Context, reply: Reply, anna: Person) -> None:
    inner = reply.signed(anna)[len(reply.header()):]
    octets = (reply.header() + b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n\r\nNot me!\r\n--m\r\n'
              + inner + b"\r\n--m--\r\n")
    assert refused(answered(bank, octets))
    assert blocked(bank) == []


def test_an_altered_answer_blocks_nobody(bank: Context, reply: Reply, anna: Person) -> None:
    assert refused(answered(bank, reply.signed(anna).replace(b"not me", b"not ME")))
    assert blocked(bank) == []


def test_a_broken_signature_around_a_good_one_blocks_nobody(bank: Context, reply: Reply, anna: Person) -> None:
    """Hers is good and inside; what is around it says that somebody has had the mail in his hands."""
    inner = openssl.sign(b"Content-Type: text/plain\r\n\r\nThat was not me.\r\n", anna)
    outer = openssl.sign(b"Content-Type: text/plain\r\n\r\nSomething else.\r\n", bank.bank.people["ben"])
    octets = reply.header() + outer.replace(b"Content-Type: text/plain\r\n\r\nSomething else.\r\n", inner)
    assert octets.count(b"multipart/signed") == 2
    assert refused(answered(bank, octets))
    assert blocked(bank) == []


def test_an_older_mail_of_the_customer_is_no_answer(bank: Context, reply: Reply, anna: Person, tmp_path: Path) -> None:
    """Somebody has kept a signed mail of hers, and sends it again with the Message-ID of a new code."""
    body = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    signed = subprocess.run(
        ["openssl", "cms", "-sign", "-md", "sha256", "-signer", anna.certificate, "-inkey", anna.key, "-crlfeol"],
        input=body, capture_output=True, check=True).stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    later = bank.gateway.clock.now() + timedelta(minutes=10)
    code = "ef" * 12
    assert bank.gateway.store.codes.issue(
        row(code, "10001", later, later + timedelta(minutes=5)), NO_LIMITS) is None
    about = Reply(reply.settings, f"{code}-1")
    assert refused(answered(bank, about.header() + signed))
    assert blocked(bank) == []


@pytest.mark.parametrize("about", [f"{'00' * 12}-1", f"{CODE}x-1", "alarm-7"])
def test_a_code_that_is_not_known_is_nobodys(bank: Context, reply: Reply, anna: Person, about: str) -> None:
    assert refused(answered(bank, Reply(reply.settings, about).signed(anna)))
    assert blocked(bank) == []
    assert alarms(bank) == []


def test_a_message_id_that_nobody_wrote_is_nobodys(bank: Context, reply: Reply, anna: Person) -> None:
    forged = reply.signed(anna).replace(reply.message_id.encode(), f"<{CODE}-1.aaaaaaaaaaaaaaaa@bank.example>".encode())
    assert refused(answered(bank, forged))
    assert blocked(bank) == []
    assert alarms(bank) == []


@pytest.mark.parametrize("more", [
    b"Auto-Submitted: auto-replied\r\n", b"Precedence: bulk\r\n", b"X-Autoreply: yes\r\n", b"List-Id: <a.b>\r\n"])
def test_absence_is_not_disowning(bank: Context, reply: Reply, anna: Person, more: bytes) -> None:
    """RFC 3834: a company's gateway signs its people's absence notices as well."""
    for octets in (reply.signed(anna, more=more), reply.plain(more=more)):
        assert answered(bank, octets).recipients[0].settled is Settled.SERVED
    assert blocked(bank) == []
    assert alarms(bank) == []


def test_a_receipt_is_not_disowning(bank: Context, reply: Reply) -> None:
    octets = reply.header() + (b'Content-Type: multipart/report; report-type=disposition-notification; boundary="m"'
                               b"\r\n\r\n--m\r\n\r\nread\r\n--m--\r\n")
    assert answered(bank, octets).recipients[0].settled is Settled.SERVED
    assert alarms(bank) == []


def test_a_store_that_is_away_defers(
    bank: Context, reply: Reply, anna: Person, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: object) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)

    monkeypatch.setattr(bank.gateway.store.codes, "block", away)
    outcome = answered(bank, reply.signed(anna))
    assert (outcome.answer, outcome.reason) == (Settled.LATER, Reason.STORE_UNAVAILABLE)
    assert alarms(bank) == []


def test_one_mail_to_the_service_and_to_a_person(bank: Context, reply: Reply, anna: Person) -> None:
    """Both get it; a retry, because the person's server was away, acts once."""
    bank.inbound.codes["support@bank.example"] = 451
    mail: Mail = bank.receive(reply.signed(anna), MAILBOX, "support@bank.example")
    assert bank.gateway.handle(mail).answer is Settled.LATER
    assert blocked(bank) == [("10001", "customer")]
    del bank.inbound.codes["support@bank.example"]
    outcome = bank.gateway.handle(mail)
    assert [one.settled for one in outcome.recipients] == [Settled.DISCARDED, Settled.TAKEN]
    assert len(alarms(bank)) == 1


@pytest.fixture
def observing(bank: Context) -> Context:
    settings = bank.gateway._loaded.settings.model_copy(update={"mode": "observe"})
    bank.gateway.reload(settings)
    bank.gateway.use(replace(bank.gateway.context, outbound_hop=bank.outbound, inbound_hop=bank.inbound))
    return bank


def test_while_observing_nothing_is_done(observing: Context, reply: Reply, anna: Person) -> None:
    octets = reply.signed(anna)
    outcome = answered(observing, octets)
    assert outcome.recipients[0].settled is Settled.TAKEN
    assert blocked(observing) == []
    assert alarms(observing) == []
    assert observing.inbound.octets_for(MAILBOX) == octets
    (record,) = observing.gateway.store.evidence.find(outcome.incident)
    assert record.facts["would"]["settled"] == "served"


def with_key(bank: Context) -> None:
    """The bank's key for its support opens what is sent to the codes' mailbox as well."""
    keys = tuple(key.model_copy(update={"recipients": (*key.recipients, MAILBOX)}) if key.name == "support" else key
                 for key in bank.gateway._loaded.settings.keys)
    bank.gateway.reload(bank.gateway._loaded.settings.model_copy(update={"keys": keys}))
    bank.gateway.use(replace(bank.gateway.context, outbound_hop=bank.outbound, inbound_hop=bank.inbound))


@pytest.mark.parametrize("key", [True, False])
def test_an_encrypted_answer(bank: Context, reply: Reply, anna: Person, *, key: bool) -> None:
    """Signed inside, as mail programs do it. Without the key nobody knows what it is, and it proves nothing."""
    if key:
        with_key(bank)
    signed = reply.signed(anna)[len(reply.header()):]
    octets = openssl.encrypt(signed, bank.bank.support_certificate, (anna.address, MAILBOX, "Re: your code"))
    octets = f"In-Reply-To: {reply.message_id}\r\n".encode() + octets
    outcome = answered(bank, octets)
    assert outcome.recipients[0].settled is (Settled.SERVED if key else Settled.REFUSED)
    assert blocked(bank) == ([("10001", "customer")] if key else [])
    assert len(alarms(bank)) == 1


def test_the_client_that_asked_is_told(bank: Context, reply: Reply, anna: Person, tmp_path: Path) -> None:
    """Filed with the block, for the jobs to call out (docs/api.md): by the process that took the mail in."""
    settings = bank.gateway._loaded.settings
    secret = tmp_path / "callback.secret"
    clients = tuple(client.model_copy(update={
        "callback_url": "https://portal.bank.example/codes", "callback_secret_file": secret})
        if client.name == "online-banking" else client for client in settings.clients)
    bank.gateway.reload(settings.model_copy(update={"clients": clients}))
    bank.gateway.use(replace(bank.gateway.context, outbound_hop=bank.outbound, inbound_hop=bank.inbound))
    bounced = bank.gateway.handle(bank.receive(bounce(), reply.return_path, sender=""))
    assert bounced.recipients[0].settled is Settled.SERVED
    answered(bank, reply.signed(anna))
    answered(bank, reply.signed(anna))
    book = DbCallbacks(bank.gateway.store.database)
    told = []
    while calls := book.due(bank.gateway.clock.now() + timedelta(minutes=1), 10):
        told += [(one.client, one.subject, one.kind) for one in calls]
        for one in calls:
            book.taken(one)
    assert told == [("online-banking", CODE, "code.bounced"), ("online-banking", CODE, "code.blocked")]
