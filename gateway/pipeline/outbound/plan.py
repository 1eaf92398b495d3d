"""Deciding: every recipient asks the rules, and facts that cost a look-up are looked up only when asked for."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.actions.encrypt import choose_cipher, choose_oaep
from gateway.cms.mailbox import spellings
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.model.changed import changed
from gateway.model.decision import ENCRYPTED_PDF, Decision, Needs
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import CertificateAnswer, CertificateRow, Found, Unavailable, Want
from gateway.model.mail import Direction, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.policy.resolve import used

_LOOK_UPS_MAX = 4  # one for each kind of Needs


@dataclass(frozen=True, slots=True)
class Planned:
    """One recipient with what was decided for it, and the facts on which it was."""

    recipient: Recipient
    facts: RecipientFacts
    decision: Decision

    @property
    def rows(self) -> tuple[CertificateRow, ...]:
        """The certificates to encrypt to, where the decision encrypts."""
        found = used(self.decision, self.facts)
        return found.rows if isinstance(found, Found) else ()

    @property
    def want(self) -> Want:
        """Which certificates would have served; of a decision that was to encrypt."""
        return "enrolled" if isinstance(self.facts.certificate, NotAsked) else "any"


def plan(
    context: Context, facts: Facts, recipient: Recipient, direction: Direction,
    signer_certificate: str | None = None, *,
    customers: tuple[str, ...] = (),
) -> Planned:
    """Asks the rules until they can decide. `signer_certificate`: SHA-256 of the verified signer's (inbound).

    `customers`: see Origin. GatewayError STORE_UNAVAILABLE (retry).
    """
    known = RecipientFacts(recipient.address, direction, spellings=spellings(recipient.address)[1:])
    rules = context.rules()
    for _ in range(_LOOK_UPS_MAX + 1):
        decided = rules.decide(facts, known)
        if isinstance(decided, Decision):
            planned = Planned(recipient, known, decided)
            return _for_others(context, planned, customers) if customers else _for_former(context, planned)
        known = _look_up(context, known, decided, signer_certificate)
    raise GatewayError(Reason.INTERNAL, "the rules ask for a fact twice", retry=True)


def _for_others(context: Context, planned: Planned, customers: tuple[str, ...]) -> Planned:
    """Rejects what would reach another customer, by his certificate or by his address.

    It also counts for mail that is held, locked or sent in clear: the other customer would be invited, or get the
    password.
    """
    decision = planned.decision
    if decision.end.kind in ("reject", "defer"):
        return planned
    owners = {row.customer for row in planned.rows}
    if not owners or None in owners:  # no certificate, or one that was merely found: the address decides
        owner = context.customers.by_address(planned.recipient.address)
        owners = set() if owner is None else {owner.number}
    return planned if owners <= set(customers) else _rejected(planned)


def _for_former(context: Context, planned: Planned) -> Planned:
    """Rejects what would be sealed to one customer's certificate for the address that another customer has.

    The certificate names an address that its holder gave up, or never had at the bank: who of the two is meant, only
    people can tell. Of mail that names its customers (`_for_others`) it is known. A row knows the customer of the
    spelling that its certificate has; of an internationalised domain the register may have another spelling.
    """
    bound = [row for row in planned.rows if row.customer is not None]
    owners = {row.address_customer for row in bound}
    if bound and len(spellings(planned.recipient.address)) > 1:
        owner = context.customers.by_address(planned.recipient.address)
        owners.add(owner.number if owner is not None else None)
    if any(owners - {None, row.customer} for row in bound):
        return _rejected(planned)
    return planned


def _rejected(planned: Planned) -> Planned:
    decision = planned.decision
    return replace(planned, decision=replace(
        decision, steps=(), end=replace(decision.end, kind="reject"), reason=Reason.RECIPIENT_OTHER_CUSTOMER,
        fallback=None))


def _look_up(context: Context, known: RecipientFacts, needs: Needs, signer_certificate: str | None) -> RecipientFacts:
    """Unavailable is a fact too: the rules defer on it, they never fall through."""
    try:
        if needs.fact == "certificate":
            return _with_certificate(known, needs, context.select(known.address, needs.want))
        if needs.fact == "segment":
            customer = context.customers.by_address(known.address)
            return replace(known, segment=customer.segment if customer else None)
        signer = context.customers.by_certificate(signer_certificate) if signer_certificate else None
        return replace(known, signer_customer=signer.number if signer else None)
    except GatewayError as trouble:
        unavailable = Unavailable(trouble.detail)
        if needs.fact == "certificate":
            return _with_certificate(known, needs, unavailable)
        if needs.fact == "segment":
            return replace(known, segment=unavailable)
        return replace(known, signer_customer=unavailable)


def _with_certificate(known: RecipientFacts, needs: Needs, answer: CertificateAnswer) -> RecipientFacts:
    return changed(known, enrolled=answer) if needs.want == "enrolled" else changed(known, certificate=answer)


def way_of(decision: Decision) -> str:
    """How a mail leaves on which this was decided: sealed, encrypted_pdf or plain; '' for one that does not."""
    if decision.end.kind != "deliver":
        return ""
    if decision.fallback == ENCRYPTED_PDF:
        return ENCRYPTED_PDF
    return "sealed" if any(step.verb == "encrypt" for step in decision.steps) else "plain"


def ended(planned: Planned) -> RecipientOutcome | None:
    """The outcome of a decision that sends nothing: reject and defer. None for all that goes on."""
    end = planned.decision.end
    if end.kind not in ("reject", "defer"):
        return None
    settled = Settled.REFUSED if end.kind == "reject" else Settled.LATER
    default = Reason.POLICY_REJECTED if end.kind == "reject" else Reason.POLICY_DEFERRED
    decision = planned.decision
    return RecipientOutcome(
        planned.recipient.address, settled, decision.reason or default, decision.rule, text=end.text
    )


def let_go(planned: Planned, *, alone: bool = True) -> Planned:
    """After a release `hold` and `quarantine` deliver, with the rule's steps.

    What is held because nobody has a certificate is never sent in clear by an operator's release. Mail for him `alone`
    stays where it is, or its waiting would begin anew; of mail for several the others get it, and he waits on.
    """
    end = planned.decision.end
    if end.kind not in ("hold", "quarantine"):
        return planned
    if planned.decision.reason is Reason.CERTIFICATE_ABSENT and not alone:
        return planned
    if planned.decision.reason is Reason.CERTIFICATE_ABSENT:
        return replace(planned, decision=replace(planned.decision, steps=(), end=replace(end, kind="defer")))
    delivered = replace(planned.decision, end=replace(end, kind="deliver"), released_from=end.kind)
    return replace(planned, decision=delivered)


def in_groups(planned: Iterable[Planned], shown: frozenset[str]) -> list[tuple[Planned, ...]]:
    """Recipients with the same decision travel together, unless an encryption would show a hidden one.

    `shown`: folded addresses of To and Cc. A Bcc recipient of an encrypted mail goes alone: recipient infos
    name every reader. Those whose programs read different algorithms are parted as well.
    """
    planned = tuple(planned)
    if len(planned) < 2:  # nothing to compare, and what is compared costs more than it takes to decide
        return [planned] if planned else []
    groups: dict[object, list[Planned]] = {}
    for one in planned:
        alone = fold(one.recipient.address) if _is_alone(one, shown) else ""
        how = _how(one) if one.rows else None
        groups.setdefault((one.decision.rule, one.decision.steps, one.decision.end, alone, how), []).append(one)
    return [tuple(group) for group in groups.values()]


def _is_alone(one: Planned, shown: frozenset[str]) -> bool:
    """Also who waits for a certificate of his own, or has a password of his own."""
    if one.decision.fallback is not None:
        return one.decision.fallback != "plain_knowingly"
    return bool(one.rows) and fold(one.recipient.address) not in shown


def _how(one: Planned) -> tuple[str, bool]:
    """The content cipher and key transport that this recipient's certificates call for."""
    params = next(step.params for step in one.decision.steps if step.verb == "encrypt")
    return choose_cipher(params.cipher, one.rows), choose_oaep(one.rows)
