"""`without_certificate: hold` and `invite`: a whole bank, a clock moved by hand, openssl to open what left.

Truth: docs/fallbacks.md and the numbered list of gateway/pipeline/fallbacks/hold.py.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.app import DryRunHop, Gateway
from gateway.authority import ca
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.demo import openssl
from gateway.demo.bank import Ports, open_bank
from gateway.demo.openssl import Person
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Absent, Conflict, Customer, Unavailable, Unusable
from gateway.model.mail import Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.pipeline.background.rejudge import in_hand
from gateway.pipeline.fallbacks.hold import EXAMINE_AFTER, Round
from gateway.ports.administration import NewCertificate
from gateway.settings import Invite, Settings, load
from gateway.setup.files import key_pem, pem
from tests.support.bank import Context, ScriptedHop, policy
from tests.support.locked import mail_of

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")

MAIL = (b"From: otp@bank.example\r\nTo: ben@nowhere.example, cara@nowhere.example\r\nSubject: Contract 4711\r\n"
        b"Message-ID: <1@bank.example>\r\n\r\nThe planted secret.\r\n")
BEN, CARA = "ben@nowhere.example", "cara@nowhere.example"
RULES = """
version: 1
rules:
  - name: invitations
    when: {direction: outbound, client: staff, from: staff@bank.example}
    then: {sign: {with: staff}}
    cases:
      - given: {client: staff, from: staff@bank.example}
        expect: {end: deliver}
  - name: letters
    when: {direction: outbound, client: online-banking}
    then: {protect_headers: {}, sign: {with: otp}, encrypt: {without_certificate: WAY}}
    cases:
      - given: {client: online-banking, from: otp@bank.example, certificate: found}
        expect: {then: [protect_headers, sign, encrypt]}
      - given: {client: online-banking, from: otp@bank.example, certificate: absent}
        expect: {end: hold}
otherwise: reject
"""
INVITE = Invite(**{"from": "staff@bank.example", "client": "staff", "way": "Ask at any branch.", "every_days": 20})


class HandClock:
    def __init__(self) -> None:
        self.at: datetime = SystemClock().now()

    def now(self) -> datetime:
        return self.at


@dataclass
class Room:
    """A bank, its clock, and what looks after its waiting mail."""

    bank: Context
    clock: HandClock
    settings: Settings

    def send(self, *to: str, octets: bytes = MAIL) -> Outcome:
        return self.bank.gateway.handle(self.bank.send(octets, *to))

    def after(self, **delta: float) -> Round:
        """A round at a later time, as the jobs' process does it: what is tried is tried in a gateway of its own."""
        self.clock.at += timedelta(**delta)
        trial = Gateway(self.settings, clock=self.clock, dry_run_hop=DryRunHop())
        trial.use(replace(trial.context, select=self.bank.gateway.context.select))
        try:
            return self.bank.gateway.held_mail(trial.handle).round()
        finally:
            trial.close()

    def enrol(self, address: str, customer: str | None = None) -> Person:
        """Somebody with this address has a certificate now; `customer`: to whom it is bound."""
        key = ca.generate_signing_key("rsa-2048")
        der = self.bank.bank.authorities.person("Ben", address, key, self.clock.now())
        name = address.partition("@")[0]
        person = Person(name, address, self.bank.bank.home / f"{name}.crt.pem", self.bank.bank.home / f"{name}.key.pem")
        person.certificate.write_bytes(pem(der))
        person.key.write_bytes(key_pem(key))
        self.bank.gateway.store.certificates.add([NewCertificate(parse_certificate(der), customer=customer)])
        return person

    def register(self, number: str, *addresses: str) -> None:
        self.bank.gateway.store.customers.put([Customer(number, "Somebody", addresses)])

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(row.hold_id for row in self.bank.gateway.store.hold.list())

    def answers(self, answer: object) -> None:
        """From now on every look-up says this."""
        self.bank.gateway.use(replace(self.bank.gateway.context, select=lambda address, want: answer))


@contextmanager
def room(home: Path, way: str = "hold", invite: Invite | None = None) -> Iterator[Room]:
    bank, clock = open_bank(home, Ports()), HandClock()
    settings = policy(home / "letters.yaml", RULES.replace("WAY", way))(load(bank.config))
    settings = settings.model_copy(update={"fallbacks": settings.fallbacks.model_copy(update={"invite": invite})})
    gateway = Gateway(settings, clock=clock)
    hops = ScriptedHop(), ScriptedHop()
    gateway.use(replace(gateway.context, outbound_hop=hops[0], inbound_hop=hops[1]))
    try:
        yield Room(Context(bank, gateway, *hops), clock, settings)
    finally:
        gateway.close()


@pytest.fixture
def holding(home: Path) -> Iterator[Room]:
    with room(home) as built:
        yield built


@pytest.fixture
def inviting(home: Path) -> Iterator[Room]:
    with room(home, "invite", INVITE) as built:
        yield built


# --- it leaves by itself


def test_a_mail_leaves_sealed_by_itself_when_a_certificate_appears(holding: Room) -> None:
    outcome = holding.send(BEN)
    assert (outcome.answer, outcome.recipients[0].reason) == (Settled.TAKEN, Reason.CERTIFICATE_ABSENT)
    assert holding.after(minutes=1).sent == []
    assert holding.bank.outbound.taken == []
    ben = holding.enrol(BEN)
    (left,) = holding.after(minutes=1).sent
    assert left[1].answer is Settled.TAKEN
    octets = holding.bank.outbound.octets_for(BEN)
    assert b"planted" not in octets
    assert b"The planted secret." in openssl.verify(openssl.decrypt(octets, ben), holding.bank.bank.root)
    assert holding.held == ()
    assert holding.after(days=1).sent == []
    assert len(holding.bank.outbound.taken) == 1


def test_it_is_never_sealed_to_another_customer_who_has_the_address_now(holding: Room) -> None:
    holding.register("20001", BEN)
    holding.send(BEN)
    holding.register("20001")
    holding.register("20002", BEN)
    holding.enrol(BEN, "20002")
    assert holding.after(minutes=1).sent == []
    assert holding.bank.outbound.taken == []
    assert len(holding.held) == 1
    holding.send(BEN, octets=MAIL.replace(b"<1@", b"<2@"))  # what is written to the new customer leaves
    assert len(holding.bank.outbound.taken) == 1


def test_the_customer_may_have_the_certificate_later_and_the_address_too(holding: Room) -> None:
    holding.send(BEN)
    holding.register("20001", CARA)
    holding.send(CARA, octets=MAIL.replace(b"<1@", b"<2@"))
    holding.register("20002", BEN)
    holding.enrol(BEN, "20002")
    holding.enrol(CARA, "20001")
    assert len(holding.after(minutes=1).sent) == 2


def test_each_recipient_waits_for_himself(holding: Room) -> None:
    """One who has a certificate gets it at once; of two without, one does not wait for the other's."""
    holding.send(BEN, "anna@customer.example", CARA)
    assert [taken[0] for taken in holding.bank.outbound.taken] == [("anna@customer.example",)]
    assert len(holding.held) == 2
    holding.enrol(CARA)
    assert len(holding.after(minutes=1).sent) == 1
    assert [taken[0] for taken in holding.bank.outbound.taken] == [("anna@customer.example",), (CARA,)]
    holding.enrol(BEN)
    assert len(holding.after(minutes=1).sent) == 1
    assert len(holding.bank.outbound.taken) == 3


def test_what_a_client_sends_again_meanwhile_is_no_second_mail(holding: Room) -> None:
    """A retry of a mail of several groups is known by the journal, and what comes out of the hold store is not."""
    for _ in range(2):
        assert holding.send(BEN, "anna@customer.example").answer is Settled.TAKEN
    assert len(holding.held) == 1
    holding.enrol(BEN)
    holding.after(minutes=1)
    assert sorted(taken[0][0] for taken in holding.bank.outbound.taken) == ["anna@customer.example", BEN]


@pytest.mark.parametrize("code", [451, 550])
def test_what_the_next_hop_does_not_take_stays_held(holding: Room, code: int) -> None:
    holding.send(BEN)
    holding.enrol(BEN)
    holding.bank.outbound.codes[BEN] = code
    assert holding.after(minutes=1).sent == []
    assert len(holding.held) == 1
    holding.bank.outbound.codes.clear()
    assert len(holding.after(minutes=20).sent) == 1


@pytest.mark.parametrize("answer", [Absent(), Unusable(()), Conflict(("1", "2")), Unavailable("no answer")])
def test_nothing_but_a_usable_certificate_lets_it_go(holding: Room, answer: object) -> None:
    holding.send(BEN)
    holding.answers(answer)
    assert holding.after(minutes=1).sent == []
    assert len(holding.held) == 1
    assert holding.bank.outbound.taken == []


def test_in_observe_mode_what_was_held_leaves_sealed_all_the_same(holding: Room) -> None:
    """In this mode mail goes on as it came; what was held before may not."""
    holding.send(BEN)
    holding.enrol(BEN)
    context = holding.bank.gateway.context
    holding.bank.gateway.use(replace(context, trial=lambda context, evidence: replace(context, trial=None)))
    assert len(holding.after(minutes=1).sent) == 1
    assert b"planted" not in holding.bank.outbound.octets_for(BEN)


def test_the_rules_are_asked_again(home: Path) -> None:
    with room(home) as first:
        first.send(BEN)
        first.enrol(BEN)
    reject = RULES.replace("then: {protect_headers: {}, sign: {with: otp}, encrypt: {without_certificate: WAY}}",
                           "end: reject").replace("then: [protect_headers, sign, encrypt]", "end: reject").replace(
                               "{end: hold}", "{end: reject}")
    (home / "letters.yaml").write_text(reject)
    with room(home) as second:
        (home / "letters.yaml").write_text(reject)
        second.settings = policy(home / "letters.yaml", reject)(second.settings)
        second.bank.gateway.reload(second.settings)
        assert second.after(minutes=1).sent == []
        assert len(second.held) == 1


# --- who hears of it


def test_the_sender_hears_once_that_it_waits(holding: Room) -> None:
    holding.send(BEN)
    assert holding.after(days=2.9).notified == 0
    assert holding.after(days=0.2).notified == 1
    assert holding.after(days=1).notified == 0
    ((recipients, octets, envelope),) = holding.bank.inbound.taken
    assert (recipients, envelope.reverse_path) == (("otp@bank.example",), "")
    read = mail_of(octets)
    assert read["auto-submitted"] == "auto-replied"
    assert read.get_content_type() == "multipart/report"
    assert b"Action: delayed" in octets
    assert b"Status: 4.7.5" in octets
    assert b"planted" not in octets
    assert BEN in octets.decode()


@pytest.mark.parametrize(("own", "subject"), [
    ("", "Ihre Nachricht wartet auf ein Zertifikat des Empfängers"),
    ("en", "Your message is waiting for a certificate of the recipient"),
])
def test_a_notice_is_in_the_language_of_the_bank_unless_fallbacks_have_their_own(
        home: Path, own: str, subject: str) -> None:
    with room(home) as held:
        settings = held.settings
        held.bank.gateway.reload(settings.model_copy(update={
            "bank": settings.bank.model_copy(update={"language": "de"}),
            "fallbacks": settings.fallbacks.model_copy(update={"language": own})}))
        held.bank.gateway.use(replace(held.bank.gateway.context, inbound_hop=held.bank.inbound))
        held.send(BEN)
        assert held.after(days=3.1).notified == 1
        assert mail_of(held.bank.inbound.taken[0][1])["subject"] == subject


def test_a_report_that_is_not_taken_comes_again(holding: Room) -> None:
    holding.send(BEN)
    holding.bank.inbound.codes["otp@bank.example"] = 451
    assert holding.after(days=4).notified == 0
    holding.bank.inbound.codes.clear()
    assert holding.after(hours=1).notified == 1


def test_it_is_given_up_in_the_end_and_the_sender_hears_it(holding: Room) -> None:
    outcome = holding.send(BEN)
    assert holding.after(days=29.9).returned == 0
    assert holding.after(days=0.2).returned == 1
    octets = holding.bank.inbound.taken[-1][1]
    assert b"Action: failed" in octets
    assert b"Status: 5.4.7" in octets
    assert b"planted" not in octets
    assert holding.held == ()
    records = holding.bank.gateway.store.evidence.find(outcome.incident)
    assert [(one.settled, one.reasons) for one in records] == [
        (Settled.HELD, ("certificate.absent",)), (Settled.REPORTED, ("hold.expired",))]


def test_nothing_is_given_up_in_silence(holding: Room) -> None:
    """As long as the mail server behind does not take the report, the mail stays."""
    holding.send(BEN)
    holding.bank.inbound.codes["otp@bank.example"] = 451
    assert holding.after(days=31).returned == 0
    assert len(holding.held) == 1
    holding.bank.inbound.codes["otp@bank.example"] = 550  # he is not there any more: nobody can be told
    assert holding.after(hours=1).returned == 1
    assert holding.held == ()


def test_a_certificate_on_the_last_day_still_counts(holding: Room) -> None:
    holding.send(BEN)
    holding.enrol(BEN)
    done = holding.after(days=31)
    assert (len(done.sent), done.returned) == (1, 0)


def test_a_directory_that_does_not_answer_on_the_last_day_is_waited_for(holding: Room) -> None:
    holding.send(BEN)
    holding.answers(Unavailable("no answer"))
    assert holding.after(days=30.5).returned == 0
    assert holding.after(days=0.6).returned == 1


@pytest.mark.parametrize(("notify", "told"), [((), 2), (("NEVER",), 0), (("FAILURE",), 1), (("DELAY",), 1),
                                              (("DELAY", "FAILURE"), 2), (("SUCCESS",), 0)])
def test_whoever_wants_to_hear_nothing_hears_nothing(holding: Room, notify: tuple[str, ...], told: int) -> None:
    """RFC 3461 4.1."""
    mail = holding.bank.send(MAIL, BEN)
    mail = replace(mail, envelope=replace(mail.envelope, recipients=(Recipient(BEN, notify),)))
    holding.bank.gateway.handle(mail)
    holding.after(days=4)
    assert holding.after(days=30).returned == 1
    assert len(holding.bank.inbound.taken) == told


# --- invitations


def test_who_has_none_is_invited_once_in_so_many_days(inviting: Room) -> None:
    outcome = inviting.send(BEN)
    assert outcome.recipients[0].reason is Reason.FALLBACK_INVITED
    inviting.send(BEN, octets=MAIL.replace(b"<1@", b"<2@"))
    assert inviting.after(minutes=1).invited == 1
    assert inviting.after(days=19).invited == 0
    assert inviting.after(days=2).invited == 1
    assert [taken[0] for taken in inviting.bank.outbound.taken] == [(BEN,), (BEN,)]


def test_an_invitation_is_signed_neutral_and_leads_nowhere(inviting: Room) -> None:
    inviting.send(BEN)
    inviting.after(minutes=1)
    octets = inviting.bank.outbound.octets_for(BEN)
    said = openssl.verify(octets, inviting.bank.bank.root)
    assert b"Ask at any branch." in said
    for word in (b"4711", b"planted", b"http", b"href", b"otp@"):
        assert word not in octets
        assert word not in said
    read = mail_of(octets)
    assert (read["from"], read["auto-submitted"]) == ("Demo Bank <staff@bank.example>", "auto-generated")


def test_an_invitation_that_is_not_taken_comes_again(inviting: Room) -> None:
    inviting.send(BEN)
    inviting.bank.outbound.codes[BEN] = 451
    assert inviting.after(minutes=1).invited == 0
    inviting.bank.outbound.codes.clear()
    assert inviting.after(minutes=1).invited == 0, "somebody may be at it"
    assert inviting.after(minutes=20).invited == 1


def test_an_invitation_that_the_rules_would_hold_is_none(home: Path) -> None:
    """Or each would bring another one."""
    rule = Invite(**{"from": "otp@bank.example", "client": "online-banking", "way": "Ask.", "every_days": 20})
    with room(home, "invite", rule) as inviting:
        inviting.send(BEN)
        assert inviting.after(minutes=1).invited == 0
        assert len(inviting.held) == 1


def test_nobody_is_invited_while_something_else_is_the_matter(inviting: Room) -> None:
    inviting.send(BEN)
    inviting.answers(Unusable(()))
    assert inviting.after(minutes=1).invited == 0


# --- figures


def test_who_has_a_certificate_since_is_a_figure(home: Path) -> None:
    with room(home) as holding:
        holding.send(BEN, CARA)
        holding.send(BEN, octets=MAIL.replace(b"<1@", b"<2@"))
        holding.enrol(BEN)
        holding.after(minutes=1)
        (row,) = holding.bank.gateway.context.fallbacks.book.figures()
        assert (row.rule, row.way, row.people, row.mails, row.converted) == ("letters:letters", "hold", 2, 3, 1)


def test_also_of_people_whose_mail_does_not_wait(home: Path) -> None:
    with room(home, "plain_knowingly") as plain:
        plain.send(BEN)
        assert plain.after(minutes=1).converted == 0
        plain.enrol(BEN)
        assert plain.after(minutes=1).converted == 1


def test_a_round_is_worth_while_only_when_something_may_have_changed(holding: Room) -> None:
    terms = holding.bank.gateway.held_mail(lambda mail: pytest.fail(str(mail))).terms
    book = holding.bank.gateway.context.fallbacks.book
    assert not terms.due(book, holding.clock.now())
    holding.send(BEN)
    assert terms.due(book, holding.clock.now())
    holding.after(minutes=1)
    assert not terms.due(book, holding.clock.now())
    assert terms.due(book, holding.clock.now() + EXAMINE_AFTER + timedelta(seconds=1))
    holding.clock.at += timedelta(seconds=1)
    holding.enrol(BEN)
    assert terms.due(book, holding.clock.now())


def test_a_mail_that_cannot_be_opened_stops_no_other(holding: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    holding.send(BEN)
    holding.send(CARA, octets=MAIL.replace(b"<1@", b"<2@"))
    holding.enrol(BEN)
    holding.enrol(CARA)
    broken, get = holding.held[0], type(holding.bank.gateway.store.hold).get

    def once(self: object, hold_id: str) -> object:
        if hold_id == broken:
            raise GatewayError(Reason.DECRYPTION_FAILED, "what the disk lost")
        return get(self, hold_id)  # type: ignore[arg-type]

    monkeypatch.setattr(type(holding.bank.gateway.store.hold), "get", once)
    assert len(holding.after(minutes=1).sent) == 1
    assert holding.held == (broken,)


def test_two_who_look_at_once_let_it_go_once(holding: Room) -> None:
    """An operator's `hold release` and the jobs: whoever comes second hears that somebody is at it."""
    holding.send(BEN)
    holding.enrol(BEN)
    with in_hand(holding.bank.gateway.store.journal, holding.held[0]):
        assert holding.after(minutes=1).sent == []
    assert len(holding.after(minutes=20).sent) == 1


@pytest.mark.parametrize("way", ["hold", "invite", "plain_knowingly"])
def test_what_a_rule_holds_for_people_waits_for_people(home: Path, way: str) -> None:
    """`end: hold` beside `encrypt`: no certificate lets it go by itself, no time gives it up."""
    text = RULES.replace("WAY}}", f"{way}}}}}\n    end: hold").replace(
        "expect: {then: [protect_headers, sign, encrypt]}", "expect: {end: hold}")
    with room(home, way, INVITE) as holding:
        changed = policy(home / "letters.yaml", text)(holding.settings)
        holding.settings = changed
        holding.bank.gateway.reload(changed)
        assert holding.send(BEN).recipients[0].settled is Settled.HELD
        holding.enrol(BEN)
        done = holding.after(days=40)
        assert (done.sent, done.returned, done.notified, done.invited) == ([], 0, 0, 0)
        assert len(holding.held) == 1


def test_what_an_operator_releases_out_of_several_groups_leaves(home: Path) -> None:
    """The journal knows the recipient as settled, for it was held; a release is not taken for a duplicate."""
    text = RULES.replace("  - name: letters\n", "  - name: looked-at\n"
                         "    when: {direction: outbound, client: online-banking, recipient: ben@nowhere.example}\n"
                         "    then: {sign: {with: otp}}\n    end: hold\n"
                         "    cases: [{given: {client: online-banking, from: otp@bank.example, "
                         "recipient: ben@nowhere.example}, expect: {end: hold}}]\n  - name: letters\n")
    with room(home) as holding:
        changed = policy(home / "letters.yaml", text.replace("WAY", "hold"))(holding.settings)
        holding.bank.gateway.reload(changed)
        context = holding.bank.gateway.context
        holding.bank.gateway.use(
            replace(context, outbound_hop=holding.bank.outbound, inbound_hop=holding.bank.inbound))
        holding.send(BEN, "anna@customer.example")
        (held,) = holding.held
        _, mail = holding.bank.gateway.store.hold.get(held)
        outcome = holding.bank.gateway.handle(mail, released=True)
        assert [one.settled for one in outcome.recipients] == [Settled.TAKEN]
        assert b"planted" in holding.bank.outbound.octets_for(BEN)


def test_of_a_mail_for_several_that_is_released_the_others_get_it(home: Path) -> None:
    """One without a certificate keeps nobody from it, and waits on."""
    text = RULES.replace("WAY}}", "hold}}\n    end: hold").replace(
        "expect: {then: [protect_headers, sign, encrypt]}", "expect: {end: hold}")
    with room(home, "hold") as holding:
        holding.bank.gateway.reload(policy(home / "letters.yaml", text)(holding.settings))
        context = holding.bank.gateway.context
        holding.bank.gateway.use(replace(context, outbound_hop=holding.bank.outbound))
        to = ("anna@customer.example", BEN)
        both = MAIL.replace(b"ben@nowhere.example, cara@nowhere.example", ", ".join(to).encode())
        holding.send(*to, octets=both)
        for hold_id in holding.held:
            _, mail = holding.bank.gateway.store.hold.get(hold_id)
            holding.bank.gateway.handle(mail, released=True)
        assert [taken[0] for taken in holding.bank.outbound.taken] == [("anna@customer.example",)]


def test_a_database_that_fails_once_it_is_taken_makes_a_second_mail_and_loses_none(
        holding: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one place where SMTP allows no better: the same Message-ID, and no third."""
    holding.send(BEN)
    holding.enrol(BEN)
    kind = type(holding.bank.gateway.store.hold)
    settle = kind.settle

    def fails(self: object, hold_id: str, state: str) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{hold_id} {state}", retry=True)

    monkeypatch.setattr(kind, "settle", fails)
    with pytest.raises(GatewayError):
        holding.after(minutes=1)
    assert len(holding.held) == 1
    monkeypatch.setattr(kind, "settle", settle)
    assert len(holding.after(minutes=20).sent) == 1
    assert holding.after(minutes=20).sent == []
    assert [mail_of(octets)["message-id"] for _, octets, _ in holding.bank.outbound.taken] == ["<1@bank.example>"] * 2
