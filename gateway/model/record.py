"""What is kept as evidence of a mail's way: facts and decisions, never content."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.model.outcome import Settled


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One per (message, recipient). `facts` is a JSON-ready mapping from which `policy replay` decides again;

    `message_key` as in the design 2.3; `certificates` are SHA-256 fingerprints that were encrypted to;
    `reasons` dotted Reasons; `sealed_digest` SHA-256 of what left, '' if nothing did.
    """

    at: datetime
    incident: str
    message_key: str
    message_id: str
    direction: str
    client: str | None
    sender: str
    recipient: str
    rule: str
    steps: tuple[str, ...]
    end: str
    settled: Settled
    reasons: tuple[str, ...]
    certificates: tuple[str, ...]
    policy_digest: str
    next_hop_reply: str | None
    sealed_digest: str
    facts: dict[str, Any]
