"""What would have become of the mail that passed in `mode: observe`, counted from its evidence. Never bodies."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.model.record import EvidenceRecord


@dataclass(frozen=True, slots=True)
class Seen:
    """So many recipients of one direction, and what they would have got.

    `fate`: sealed, signed, unsealed, opened, delivered, served, refused, held, deferred.
    `why`: the dotted Reason, '' where nothing stood in the way; `rule`: that decided, '' if none was asked.
    """

    direction: str
    fate: str
    why: str
    rule: str
    recipients: int


def seen(records: Iterable[EvidenceRecord]) -> tuple[Seen, ...]:
    """The most frequent first, within each direction."""
    counts = Counter((one.direction, _fate(one, would), " ".join(would["reasons"]), one.rule)
                     for one in records if (would := would_of(one)) is not None)
    return tuple(Seen(*what, number) for what, number in sorted(
        counts.items(), key=lambda item: (item[0][0], -item[1], item[0])))


def would_of(record: EvidenceRecord) -> dict[str, Any] | None:
    """What observing has noted: `settled` and `reasons`; None of a mail of the live gateway."""
    would = record.facts.get("would")
    return would if isinstance(would, dict) and {"settled", "reasons"} <= would.keys() else None


def _fate(record: EvidenceRecord, would: dict[str, Any]) -> str:
    settled = str(would["settled"])
    if settled in ("refused", "held", "served"):
        return settled
    if settled == "later":
        return "deferred"
    if record.direction == "outbound":
        return "sealed" if "encrypt" in record.steps else "signed" if "sign" in record.steps else "unsealed"
    verdicts = record.facts.get("verdicts")
    return "opened" if verdicts is not None and verdicts["decryption"][0] == "decrypted" else "delivered"
