"""The store of codes: that there was one, for whom, and what became of it; never the code, nor what was paid."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CodeState(StrEnum):
    """Only LIVE can be used. A code whose life has ended is EXPIRED, whatever the row says."""

    LIVE = "live"
    USED = "used"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    DEAD = "dead"  # too many wrong tries
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class CodeRow:
    """`code_id`: 24 hexadecimal digits. `nonce` and `digest`: with the secret they make the code, without it nothing.

    `digest`: keyed, over the transaction. `sends`: how often it was mailed, `tries` counts right and wrong ones.
    """

    code_id: str
    client: str
    customer: str
    purpose: str
    state: CodeState
    digits: int
    nonce: bytes
    digest: bytes
    language: str
    reference: str
    created_at: datetime
    expires_at: datetime
    tries: int = 0
    sends: int = 0
