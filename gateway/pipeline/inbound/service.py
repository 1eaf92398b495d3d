"""Inbound mail to a service of the bank, which acts on it inside the transaction (`end: {hand_to: SERVICE}`).

The service has committed before it answers `Taken`, its recipient is SERVED, and the client gets 250. The note of its
answer is recorded like a next hop's reply: in the evidence, which `sealgate trace` shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Mail, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.smime.open import Opened

log = structlog.get_logger("sealgate.services")


@dataclass(frozen=True, slots=True)
class Taken:
    """The service has it, and has committed. `note`: one line for the evidence and the log; no content."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The mail was rejected for good; the client gets 5xx. `detail` is for the log."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now (451)."""

    reason: Reason
    detail: str = ""


Received = Taken | Refused | TryLater


class MailService(Protocol):
    """One service. `receive` may be called a second time with the same mail: it must not act twice."""

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """Acts on the mail. `mail`: as it came, without forged fields; `opened`: its content, and the verdicts."""
        ...


class NoService:
    """See MailService: of a dry run."""

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """Nothing is done."""
        del self, mail, opened, to
        return Taken("nothing was done")


def hand_in(services: Mapping[str, MailService], name: str, mail: Mail, opened: Opened,
            recipients: tuple[Recipient, ...]) -> tuple[RecipientOutcome, ...]:
    """Each recipient separately: the outcome of one does not affect the others."""
    return tuple(_outcome(services, name, mail, opened, recipient) for recipient in recipients)


def _outcome(services: Mapping[str, MailService], name: str, mail: Mail, opened: Opened, to: Recipient
             ) -> RecipientOutcome:
    service = services.get(name)
    if service is None:  # rules that name it do not load; so only for as long as a reload takes
        return RecipientOutcome(to.address, Settled.LATER, Reason.STORE_UNAVAILABLE, detail=f"no service {name}")
    try:
        answer = service.receive(mail, opened, to)
    except GatewayError as trouble:
        settled = Settled.LATER if trouble.retry else Settled.REFUSED
        return RecipientOutcome(to.address, settled, trouble.reason, detail=trouble.detail)
    if isinstance(answer, Taken):
        log.info("service.mail_received", incident=mail.origin.incident, service=name, note=answer.note)
        return RecipientOutcome(to.address, Settled.SERVED, reply=f"{name}: {answer.note}" if answer.note else name)
    settled = Settled.REFUSED if isinstance(answer, Refused) else Settled.LATER
    return RecipientOutcome(to.address, settled, answer.reason, detail=answer.detail)
