"""Decides for each recipient by the rules, and looks up costly facts only if a rule needs them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.actions.encrypt import choose_cipher, choose_oaep
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.model.changed import changed
from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.fallbacks import FALLBACKS
from gateway.model.lookup import CertificateAnswer, CertificateRow, Found, Unavailable, Want
from gateway.model.mail import Direction, Recipient
from gateway.model.mailbox import spellings
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.policy.resolve import used

_LOOK_UPS_MAX = 4  # one for each kind of Needs


@dataclass(frozen=True, slots=True)
class Plan:
    """One recipient, its facts, and the decision that the rules made on them."""

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
) -> Plan:
    """Asks the rules until they can decide. `signer_certificate`: SHA-256 of the verified signer's (inbound).

    `customers`: see Origin. GatewayError STORE_UNAVAILABLE (retry).
    """
    known = RecipientFacts(recipient.address, direction, spellings=spellings(recipient.address)[1:])
    rules = context.rules()
    for _ in range(_LOOK_UPS_MAX + 1):
        decided = rules.decide(facts, known)
        if isinstance(decided, Decision):
            made = Plan(recipient, known, decided)
            return _reject_others(context, made, customers) if customers else _reject_former(context, made)
        known = _look_up(context, known, decided, signer_certificate)
    raise GatewayError(Reason.INTERNAL, "the rules ask for a fact twice", retry=True)


def _reject_others(context: Context, plan: Plan, customers: tuple[str, ...]) -> Plan:
    """Rejects what would reach another customer, by its certificate or by its address.

    This includes mail for which a fallback applies: the other customer would be invited, or get the password.
    """
    if plan.decision.end.kind in ("reject", "defer"):
        return plan
    owners = {row.customer for row in plan.rows}
    if not owners or None in owners:  # no certificate, or one that was merely found: the address decides
        owner = context.customers.by_address(plan.recipient.address)
        owners = set() if owner is None else {owner.number}
    return plan if owners <= set(customers) else _reject(plan)


def _reject_former(context: Context, plan: Plan) -> Plan:
    """Rejects what would be sealed to one customer's certificate for the address that another customer has.

    The certificate names an address that its holder gave up, or never had at the bank: only people can decide which of
    the two customers is meant. Mail that names its customers states it (`_reject_others`). A row has the customer of
    the spelling that its certificate has; of an internationalised domain the register may have another spelling.
    """
    bound = [row for row in plan.rows if row.customer is not None]
    owners = {row.address_customer for row in bound}
    if bound and len(spellings(plan.recipient.address)) > 1:
        owner = context.customers.by_address(plan.recipient.address)
        owners.add(owner.number if owner is not None else None)
    if any(owners - {None, row.customer} for row in bound):
        return _reject(plan)
    return plan


def _reject(plan: Plan) -> Plan:
    decision = plan.decision
    return replace(plan, decision=replace(
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


def rejection_or_deferral(plan: Plan) -> RecipientOutcome | None:
    """The outcome of a recipient to whom nothing is sent; None for one whose mail goes on."""
    decision, end = plan.decision, plan.decision.end
    if end.kind not in ("reject", "defer"):
        return None
    settled = Settled.REFUSED if end.kind == "reject" else Settled.LATER
    default = Reason.POLICY_REJECTED if end.kind == "reject" else Reason.POLICY_DEFERRED
    return RecipientOutcome(plan.recipient.address, settled, decision.reason or default, decision.rule, text=end.text)


def release(plan: Plan, *, alone: bool = True) -> Plan:
    """After an operator's release `hold` and `quarantine` deliver, with the rule's steps.

    A mail that is held until there is a certificate is never released unencrypted. A mail for one recipient (`alone`)
    stays held, or its time would begin again; of a mail for several the others get it, and this one is held again.
    """
    end = plan.decision.end
    if end.kind not in ("hold", "quarantine"):
        return plan
    if plan.decision.reason is Reason.CERTIFICATE_ABSENT and not alone:
        return plan
    if plan.decision.reason is Reason.CERTIFICATE_ABSENT:
        return replace(plan, decision=replace(plan.decision, steps=(), end=replace(end, kind="defer")))
    return replace(plan, decision=replace(
        plan.decision, end=replace(end, kind="deliver"), released_from=end.kind))


def group(plans: Iterable[Plan], shown: frozenset[str]) -> list[tuple[Plan, ...]]:
    """Recipients with the same decision get the same octets, unless an encryption would show a hidden one.

    `shown`: folded addresses of To and Cc. A Bcc recipient of an encrypted mail has a group of its own: recipient infos
    name every reader. Recipients whose programs read different algorithms are separated as well, and those in the bank
    from others: their mail goes to another next hop.
    """
    plans = tuple(plans)
    if len(plans) < 2:  # nothing to compare, and comparing costs more than deciding
        return [plans] if plans else []
    groups: dict[object, list[Plan]] = {}
    for one in plans:
        alone = fold(one.recipient.address) if _is_alone(one, shown) else ""
        algorithms = _algorithms(one) if one.rows else None
        decision, direction = one.decision, one.facts.direction
        key = (direction, decision.rule, decision.steps, decision.end, alone, algorithms)
        groups.setdefault(key, []).append(one)
    return [tuple(group) for group in groups.values()]


def _is_alone(one: Plan, shown: frozenset[str]) -> bool:
    """Also a recipient with a certificate of its own to wait for, or a password of its own."""
    if one.decision.fallback is not None:
        return not FALLBACKS[one.decision.fallback].is_clear
    return bool(one.rows) and fold(one.recipient.address) not in shown


def _algorithms(one: Plan) -> tuple[str, bool]:
    """The content cipher and key transport that this recipient's certificates require."""
    params = next(step.params for step in one.decision.steps if step.verb == "encrypt")
    return choose_cipher(params.cipher, one.rows), choose_oaep(one.rows)
