"""Removes what only the gateway may say from every mail that passes it (RFC 8601 5).

That is: Sealgate-* fields, Authentication-Results under the gateway's id, subject tags and header fields that a rule's
`label` writes. Mail from outside loses them before it is opened and again afterwards: protected fields come out of it.
Mail of the bank's own clients loses them when it leaves: rules still see them, as they can only raise protection.
"""

from collections.abc import Callable
from functools import lru_cache

from gateway.mime.header import Field, Headers, remove_fields
from gateway.mime.trace import forged_status, strip_subject_tags, without_tags
from gateway.model.address import fold
from gateway.model.mail import Origin
from gateway.pipeline.context import Context
from gateway.policy.ruleset import RuleSet


def without_forgeries(octets: bytes, context: Context, origin: Origin) -> bytes:
    """The message without those fields and tags; the same object where there are none.

    Results under the id of a filter in front of the gateway stay if that filter is the peer, or the client is ours.
    """
    rules = context.rules()
    return strip_subject_tags(remove_fields(octets, _forged(rules, _ids(context, origin))), _labels(rules)[0])


def has_forgeries(headers: Headers, context: Context, origin: Origin) -> bool:
    """Whether `without_forgeries` would change the message with these headers: spares parsing it again.

    `headers` with what only some readers see (`read_on`).
    """
    rules = context.rules()
    is_forged, tags = _forged(rules, _ids(context, origin)), _labels(rules)[0]
    for field in headers.fields:
        if is_forged(field):
            return True
        # Few subjects have a bracket, with which most tags begin: looking for the tags themselves costs more.
        if field.lower == "subject" and tags:
            text = fold(field.seen)
            may_have = not text.isascii() or any(first in text for first in {fold(tag[:1]) for tag in tags})
            if may_have and without_tags(field, tags) is not None:
                return True
    return False


def _ids(context: Context, origin: Origin) -> tuple[str, ...]:
    """The ids whose results are forged on a mail of this origin."""
    identity = context.identity
    believed = origin.ours or context.peer_is_trusted(origin.listener, origin.peer)
    return (identity.authserv_id, *(() if believed else identity.trusted_authserv_ids))


@lru_cache(maxsize=8)
def _forged(rules: RuleSet, ids: tuple[str, ...]) -> Callable[[Field], bool]:
    return forged_status(ids, _labels(rules)[1])


@lru_cache(maxsize=4)
def _labels(rules: RuleSet) -> tuple[tuple[str, ...], frozenset[str]]:
    """Every subject tag (longest first) and header field (lower-case name) that a `label` in these rules writes."""
    labels = [step.params for program in rules.programs for step in program.decision.steps if step.verb == "label"]
    tags = {params.subject_tag for params in labels if params.subject_tag}
    return (tuple(sorted(tags, key=len, reverse=True)),
            frozenset(name.lower() for params in labels for name, _ in params.header))
