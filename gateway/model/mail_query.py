"""Which evidence records a list of mails shows."""

from dataclasses import dataclass
from datetime import datetime

from gateway.model.mailbox import address_matches
from gateway.model.record import EvidenceRecord


@dataclass(frozen=True, slots=True)
class MailQuery:
    """Every condition that is given must hold; '' and None are no condition.

    `address`: of the sender or the recipient, or `@domain`, in any spelling. `reason`: a dotted Reason or its first
    part, such as `certificate`. `since` is included, `until` is not.
    """

    address: str = ""
    client: str = ""
    direction: str = ""
    outcome: str = ""
    reason: str = ""
    rule: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, record: EvidenceRecord) -> bool:
        """Whether the record meets all conditions but those of time."""
        equal = ((self.client, record.client), (self.direction, record.direction), (self.outcome, record.settled),
                 (self.rule, record.rule))
        return (all(expected in ("", value) for expected, value in equal)
                and (not self.reason or any(is_of(reason, self.reason) for reason in record.reasons))
                and (not self.address or any(address_matches(self.address, one)
                                             for one in (record.sender, record.recipient))))


def is_of(reason: str, family: str) -> bool:
    """Whether a dotted Reason is this one, or begins with this first part."""
    return reason == family or reason.startswith(f"{family}.")
