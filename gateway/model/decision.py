"""What the rules decide for one recipient."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.errors import Reason
from gateway.model.lookup import Want

EndKind = Literal["deliver", "hold", "reject", "defer", "quarantine", "hand_to"]
Way = Literal["hold", "invite", "encrypted_pdf", "plain_knowingly"]  # of `without_certificate`, but for `reject`
ENCRYPTED_PDF: Final = "encrypted_pdf"  # the step that stands where `encrypt` stood


@dataclass(frozen=True, slots=True)
class End:
    """How the way ends. `service` only with hand_to; `text` an optional sentence of the rule's author."""

    kind: EndKind
    service: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One verb with its parameters (an instance of the verb's `params` model; hashable, frozen)."""

    verb: str
    params: Any


@dataclass(frozen=True, slots=True)
class Miss:
    """A rule that did not match: the first matcher that failed, what it wanted and what it met, in words."""

    rule: str
    matcher: str
    wanted: str
    met: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`steps` stand in the fixed order of sealing. `rule` is 'FILE:NAME', or 'FILE:otherwise'.

    `observed`: decisions of rules in `mode: observe`, which would have won but change nothing.
    `reason`: why it does not simply go on; None for a mail that does. `dropped`: verbs of the rule that were left out
    knowingly (`without_certificate: plain_knowingly`). `lowered_from`: the rule that would have protected more, had
    the mail's writer not asked for less; only with `may_lower`, and for the audit. `released_from`: the rule's own end,
    where an operator let the mail go. `fallback`: which way of `without_certificate` is taken, because nobody knows a
    certificate; None: it was not needed.
    """

    rule: str
    steps: tuple[Step, ...]
    end: End
    misses: tuple[Miss, ...] = ()
    observed: tuple["Decision", ...] = ()
    reason: Reason | None = None
    dropped: tuple[str, ...] = ()
    lowered_from: str | None = None
    released_from: Literal["hold", "quarantine"] | None = None
    fallback: Way | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """The rules cannot decide without this fact: look it up, then ask again.

    `want` is of the certificate alone: `enrolled` is in the store or nowhere, and nobody outside is asked for it.
    """

    fact: Literal["certificate", "segment", "signer_customer"]
    want: Want = "any"
