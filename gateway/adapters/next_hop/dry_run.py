"""The outside for one mail by command: what would leave is caught, nothing is delivered, held or recorded."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Mail
from gateway.model.record import EvidenceRecord
from gateway.ports.hold import HeldRow, HoldQuery
from gateway.ports.journal import JournalRow
from gateway.ports.next_hop import HopReply
from gateway.ports.services.fallbacks import CertificateWait


@dataclass(slots=True)
class DryRunHop:
    """A next hop that takes everything and keeps it: (octets, recipients) in order, and who would be held."""

    taken: list[tuple[bytes, tuple[str, ...]]] = field(default_factory=list)
    held: list[tuple[str, ...]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def deliver(
        self,
        octets: bytes,
        envelope: Envelope,
        before_dot: Callable[[tuple[str, ...]], None] | None = None,
        *,
        all_or_none: bool = False,
    ) -> tuple[HopReply, ...]:
        """See ports.next_hop.NextHop."""
        del all_or_none
        recipients = tuple(recipient.address for recipient in envelope.recipients)
        if before_dot is not None:
            before_dot(recipients)
        with self._lock:
            self.taken.append((octets, recipients))
        return tuple(HopReply(address, 250, "2.0.0 caught") for address in recipients)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See ports.next_hop.NextHop."""
        del reverse_path
        return HopReply(recipient, 250, "2.1.5 caught")


@dataclass(frozen=True, slots=True)
class DryRunHold:
    """See ports.hold.Hold: reports that a mail would be held, and does not store it."""

    hop: DryRunHop

    def put(
        self,
        mail: Mail,
        recipients: tuple[str, ...],
        *,
        kind: Literal["hold", "quarantine"],
        direction: Literal["outbound", "inbound"],
        subject: str,
        rule: str,
        reason: str,
        wait: CertificateWait | None = None,
    ) -> str:
        """See ports.hold.Hold."""
        del mail, kind, direction, subject, rule, reason, wait
        self.hop.held.append(recipients)
        return "nothing: this was one mail by command"

    def list(self, *, state: str = "waiting", query: HoldQuery | None = None) -> tuple[HeldRow, ...]:
        """Always empty."""
        del state, query
        return ()

    def get(self, hold_id: str) -> tuple[HeldRow, Mail]:
        """Never there."""
        raise GatewayError(Reason.USAGE, f"no held mail {hold_id}")

    def row(self, hold_id: str) -> HeldRow:
        """Never there."""
        raise GatewayError(Reason.USAGE, f"no held mail {hold_id}")

    def settle(self, hold_id: str, state: Literal["released", "rejected"]) -> None:
        """Never there."""
        del state
        raise GatewayError(Reason.USAGE, f"no held mail {hold_id}")


class NoJournal:
    """See ports.journal.Journal: one mail, once, in one process."""

    def rows(self, message_key: str, *, unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        """Nothing is known."""
        del message_key, unacknowledged_only
        return ()

    def claim(
        self, message_key: str, recipients: tuple[str, ...], *, unacknowledged_only: bool = False
    ) -> tuple[JournalRow, ...]:
        """Always granted."""
        del message_key, recipients, unacknowledged_only
        return ()

    def sending(self, message_key: str, recipients: tuple[str, ...]) -> None:
        """Not kept."""

    def taken(self, message_key: str, recipients: tuple[str, ...], reply: str) -> None:
        """Not kept."""

    def release(self, message_key: str, *, acknowledged: bool, unanswered: tuple[str, ...] = ()) -> None:
        """Not kept."""


class NoEvidence:
    """See ports.evidence.Evidence: a try is no evidence."""

    def ready(self) -> None:
        """Always."""

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """Not kept."""

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """Empty."""
        del at
        return iter(())

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """Empty."""
        del key
        return ()
