"""The answer of a service becomes the outcome of the recipient; no answer becomes a 451 (pipeline.inbound.service)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Mail, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.pipeline.inbound.service import Received, Refused, Taken, TryLater
from gateway.smime.open import Opened
from tests.support.bank import Context
from tests.support.bank import policy as one_policy
from tests.support.returned import MAILBOX, POLICY

PLAIN = b"From: eve@elsewhere.example\r\nTo: codes@bank.example\r\nMessage-ID: <x@e>\r\n\r\nHello\r\n"
PERSON = "support@bank.example"


@dataclass
class Service:
    """Says what a test has it say."""

    say: Callable[[], Received]
    heard: list[tuple[Mail, Opened, Recipient]] = field(default_factory=list)

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """See MailService."""
        self.heard.append((mail, opened, to))
        return self.say()


def handled(bank: Context, tmp_path: Path, service: Service | None, *to: str, partial: str = "refuse_all") -> Outcome:
    change = one_policy(tmp_path / "policy.yaml", POLICY)
    bank.gateway.reload(change(bank.gateway._loaded.settings))
    bank.gateway.use(replace(
        bank.gateway.context, outbound_hop=bank.outbound, inbound_hop=bank.inbound, partial=partial,  # type: ignore[arg-type]
        services={} if service is None else {"codes": service}))
    return bank.gateway.handle(bank.receive(PLAIN, *(to or (MAILBOX,)), sender="eve@elsewhere.example"))


def raising(error: Exception) -> Callable[[], Received]:
    def say() -> Received:
        raise error

    return say


@pytest.mark.parametrize(("say", "settled", "reason", "reply"), [
    (lambda: Taken("noted"), Settled.SERVED, None, "codes: noted"),
    (Taken, Settled.SERVED, None, "codes"),
    (lambda: Refused(Reason.SERVICE_REFUSED, "why"), Settled.REFUSED, Reason.SERVICE_REFUSED, None),
    (lambda: TryLater(Reason.NEXT_HOP_LATER, "why"), Settled.LATER, Reason.NEXT_HOP_LATER, None),
    (raising(GatewayError(Reason.STORE_UNAVAILABLE, retry=True)), Settled.LATER, Reason.STORE_UNAVAILABLE, None),
    (raising(GatewayError(Reason.MAIL_MALFORMED)), Settled.REFUSED, Reason.MAIL_MALFORMED, None),
])
def test_what_it_says_is_the_outcome(bank: Context, tmp_path: Path, say: Callable[[], Received], settled: Settled,
                                     reason: Reason | None, reply: str | None) -> None:
    service = Service(say)
    outcome = handled(bank, tmp_path, service)
    assert [(one.settled, one.reason, one.reply) for one in outcome.recipients] == [(settled, reason, reply)]
    ((mail, opened, to),) = service.heard
    assert mail.octets == opened.octets == PLAIN
    assert to.address == MAILBOX
    assert bank.inbound.taken == []
    (record,) = bank.gateway.store.evidence.find(outcome.incident)
    assert (record.settled, record.end, record.sealed_digest) == (settled, "hand_to", "")


def test_a_service_that_is_not_there_is_waited_for(bank: Context, tmp_path: Path) -> None:
    assert handled(bank, tmp_path, None).answer is Settled.LATER


def test_a_surprise_leaves_the_pipeline_as_one(bank: Context, tmp_path: Path) -> None:
    """The front end makes a 451 with an incident of it, as of any other."""
    with pytest.raises(ZeroDivisionError):
        handled(bank, tmp_path, Service(raising(ZeroDivisionError())))


@pytest.mark.parametrize("partial", ["refuse_all", "deliver_rest"])
def test_a_refusing_service_keeps_no_person_from_the_mail(bank: Context, tmp_path: Path, partial: str) -> None:
    """It says so only when it has the mail, and the person may have it by then. A stranger is told nothing more."""
    service = Service(lambda: Refused(Reason.SERVICE_REFUSED))
    outcome = handled(bank, tmp_path, service, PERSON, MAILBOX, partial=partial)
    assert outcome.answer is Settled.TAKEN
    assert {one.address: one.settled for one in outcome.recipients} == {
        PERSON: Settled.TAKEN, MAILBOX: Settled.REPORTED}
    assert bank.outbound.taken == []


def test_each_of_its_recipients_is_asked_for(bank: Context, tmp_path: Path) -> None:
    said = iter([Taken("one"), TryLater(Reason.STORE_UNAVAILABLE)])
    service = Service(lambda: next(said))
    outcome = handled(bank, tmp_path, service, MAILBOX, "codes+1.2@bank.example")
    assert [one.settled for one in outcome.recipients] == [Settled.SERVED, Settled.LATER]
    assert outcome.answer is Settled.LATER
