"""Three-valued logic (Kleene, strong): what is unknown stays unknown unless it cannot matter.

Beside UNKNOWN (a source did not answer) are the facts that were not looked up yet: they are unknown too, but
asking helps, so they win over UNKNOWN. Plain ints, since this is on every mail's way.
"""

from collections.abc import Callable
from typing import Final, Literal

from gateway.model.decision import Needs
from gateway.model.facts import Facts, RecipientFacts

Test = Callable[[Facts, RecipientFacts], int]

FALSE: Final = 0
TRUE: Final = 1
UNKNOWN: Final = 2
NEEDS_CERTIFICATE: Final = 3
NEEDS_SEGMENT: Final = 4
NEEDS_SIGNER: Final = 5
NEEDS_ENROLLED: Final = 6  # the highest, for the highest is asked for first: the store answers in no time

FactName = Literal["certificate", "segment", "signer_customer"]
NEEDED: Final[dict[int, Needs]] = {
    NEEDS_CERTIFICATE: Needs("certificate"), NEEDS_SEGMENT: Needs("segment"), NEEDS_SIGNER: Needs("signer_customer"),
    NEEDS_ENROLLED: Needs("certificate", "enrolled"),
}


def both(tests: tuple[Test, ...]) -> Test:
    """All of them: one FALSE decides, even if others are unknown."""
    def test(facts: Facts, to: RecipientFacts) -> int:
        worst = TRUE
        for each in tests:
            truth = each(facts, to)
            if truth == FALSE:
                return FALSE
            worst = max(worst, truth)
        return worst
    return tests[0] if len(tests) == 1 else test


def either(tests: tuple[Test, ...]) -> Test:
    """Any of them: one TRUE decides, even if others are unknown."""
    def test(facts: Facts, to: RecipientFacts) -> int:
        best = FALSE
        for each in tests:
            truth = each(facts, to)
            if truth == TRUE:
                return TRUE
            best = max(best, truth)
        return best
    return tests[0] if len(tests) == 1 else test


def negation(test: Test) -> Test:
    """The opposite; the opposite of unknown is unknown."""
    def opposite(facts: Facts, to: RecipientFacts) -> int:
        truth = test(facts, to)
        return truth if truth > TRUE else TRUE - truth
    return opposite
