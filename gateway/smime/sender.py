"""The claimed sender of a mail (RFC 5322 3.6.2, RFC 6532): exactly one mailbox, or none; fields that occur twice.

Sender, Reply-To and the return path never count. An address list that two readers could read differently is no
From at all.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.mime.addresses import addresses_shown, as_seen, is_turned
from gateway.mime.header import Field, Headers, mailboxes
from gateway.model.mailbox import same_domain, same_mailbox
from gateway.smime.verdict import FromFacts

_ONCE: Final = ("date", "sender", "reply-to", "to", "cc", "subject")  # RFC 5322 3.6, those that readers are shown

_TURNED: Final = "text that is written in another direction (U+202E)"


def repeated_field(outer: Headers, replaced: Collection[str]) -> Reason | None:
    """MAIL_FIELD_REPEATED where an outer field that readers are shown occurs twice; From is for `from_facts`.

    Two readers could show two different values of it. `replaced`: lower-case names of outer fields that give way to
    protected ones.
    """
    for name in _ONCE:
        if name not in replaced and len(outer.all(name)) > 1:
            return Reason.MAIL_FIELD_REPEATED
    return None


def from_facts(outer: Sequence[Field], protected: Sequence[Field]) -> FromFacts:
    """The From fields outside, and those that were protected; without one, the outer one counts."""
    outside = _one_mailbox(outer)
    if not protected:
        return outside
    inside = _one_mailbox(protected)
    if inside.address is None:
        return inside
    if outside.address is None:
        return replace(inside, reason=outside.reason, differs=True)
    return replace(inside, differs=not same_mailbox(inside.address, outside.address))


def _one_mailbox(fields: Sequence[Field]) -> FromFacts:
    if not fields:
        return FromFacts(None, Reason.FROM_MISSING)
    if len(fields) > 1:
        return FromFacts(None, Reason.FROM_AMBIGUOUS)
    try:
        found = mailboxes(fields[0].value)
    except GatewayError:
        return FromFacts(None, Reason.FROM_AMBIGUOUS)
    if len(found) != 1:
        return FromFacts(None, Reason.FROM_AMBIGUOUS if found else Reason.FROM_MISSING)
    address = found[0].address
    text = fields[0].text
    shown = dict.fromkeys((*addresses_shown(text), *addresses_shown(fields[0].seen)))
    others = tuple(one for one in shown if _is_other(one, address))
    return FromFacts(address, in_name=others or ((_TURNED,) if is_turned(text) else ()))


def _is_other(shown: str, address: str) -> bool:
    """Whether a reader takes it for another address. `Eve @ b.example` is a name at the address's own domain."""
    own = as_seen(address)
    if same_mailbox(shown, own):
        return False
    return not same_domain(shown, own) or not shown.startswith("@")
