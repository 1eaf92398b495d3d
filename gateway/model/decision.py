"""What the rules decide for one recipient."""

from dataclasses import dataclass
from typing import Any, Literal

from gateway.errors import Reason
from gateway.model.fallbacks import FALLBACKS, FallbackName
from gateway.model.lookup import Want

EndKind = Literal["deliver", "hold", "reject", "defer", "quarantine", "hand_to"]


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
    """A rule that did not match: the first matcher that failed, the expected and the actual value, in words."""

    rule: str
    matcher: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`steps` are in the fixed order of sealing. `rule` is 'FILE:NAME', or 'FILE:otherwise'.

    `observed`: decisions of rules in `mode: observe`, which would have won but change nothing.
    `reason`: why it does not simply go on; None for a mail that does. `dropped`: verbs of the rule that were left out
    knowingly (`without_certificate: plain_knowingly`). `lowered_from`: the rule that would have protected more, had
    the mail's writer not asked for less; only with `may_lower`, and for the audit. `released_from`: the rule's own end,
    where an operator released the mail. `fallback`: the one of `without_certificate` that applies because there is no
    certificate; None: there is one, or none is needed.
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
    fallback: FallbackName | None = None

    @property
    def channel(self) -> str:
        """How the mail goes on: `sealed`, `plain`, `held` or the fallback's; '' if it does not."""
        fallback = None if self.fallback is None else FALLBACKS[self.fallback]
        if self.end.kind == "hold":
            return fallback.channel if fallback is not None and fallback.held else "held"
        if self.end.kind not in ("deliver", "hand_to"):
            return ""
        if fallback is not None:
            return fallback.channel
        return "sealed" if any(step.verb == "encrypt" for step in self.steps) else "plain"


@dataclass(frozen=True, slots=True)
class Needs:
    """The rules cannot decide without this fact: look it up, then ask again.

    `want` is of the certificate alone: `enrolled` ones are in the store alone, so no source outside is asked.
    """

    fact: Literal["certificate", "segment", "signer_customer"]
    want: Want = "any"
