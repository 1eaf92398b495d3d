"""What only the gateway may say is taken off what comes from outside: before opening, and again after it."""

from functools import lru_cache

from gateway.mime.trace import strip_forged, strip_subject_tags
from gateway.model.mail import Origin
from gateway.pipeline.house import House
from gateway.policy.ruleset import RuleSet


def without_forgeries(octets: bytes, house: House, origin: Origin) -> bytes:
    """The message without Sealgate-* fields, results under our id (RFC 8601 5), and the bank's subject tags.

    Results under the id of a filter in front of us stay only where that filter is the peer.
    """
    identity = house.identity
    filters = () if house.peer_is_trusted(origin.listener, origin.peer) else identity.trusted_authserv_ids
    return strip_subject_tags(strip_forged(octets, (identity.authserv_id, *filters)), _tags(house.rules()))


@lru_cache(maxsize=4)
def _tags(rules: RuleSet) -> tuple[str, ...]:
    """Every tag that a rule in force puts before subjects, longest first."""
    tags = {
        step.params.subject_tag for program in rules.programs for step in program.decision.steps if step.verb == "label"
    }
    return tuple(sorted((tag for tag in tags if tag), key=len, reverse=True))
