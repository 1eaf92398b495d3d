"""`sealgate check`: whether the fallbacks of the rules would work for mail to people without a certificate."""

import os
import time
from collections.abc import Iterator

from gateway import app as composition
from gateway.app.fallbacks import probe_letters, probe_page
from gateway.cli.context import explained
from gateway.errors import GatewayError
from gateway.model.decision import Needs
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.fallbacks import FALLBACKS
from gateway.model.finding import Finding
from gateway.model.lookup import Absent
from gateway.model.mail import Direction
from gateway.policy.ruleset import RuleSet
from gateway.settings import Settings

PROBE = "sealgate-check@example.com"  # a mailbox that does not exist (RFC 2606)


def fallbacks(settings: Settings) -> Iterator[Finding]:
    """No finding if every rule rejects such mail."""
    rules = composition.load_rules(settings)
    names = frozenset(
        step.params.without_certificate for rule in rules.rules for step in rule.steps if step.verb == "encrypt")
    for trouble in probe_letters(settings, names):
        yield Finding("error", "fallbacks", explained(trouble))
    if any(one.held for name, one in FALLBACKS.items() if name in names):
        yield from _held(settings)
    if "invite" in names:
        yield _invitation(settings, rules)
    if "encrypted_pdf" in names:
        yield from _pdf(settings)


def _held(settings: Settings) -> Iterator[Finding]:
    days = settings.fallbacks.hold_days
    if settings.hold.archive_certificate is None:
        yield Finding("error", "fallbacks", "rules hold mail for lack of a certificate, but hold.archive_certificate "
                      "is not set, so such mail is deferred; set it")
    elif settings.hold.archive_key is None:
        yield Finding("warning", "fallbacks",
                      "hold.archive_key is not set, so held mail is not sent automatically when "
                      "there is a certificate; run `sealgate fallbacks again` where the key is")
    else:
        yield Finding("ok", "fallbacks", f"mail is held for certificates for {days} days, and sent automatically")


def _invitation(settings: Settings, rules: RuleSet) -> Finding:
    """The rules' decision about one to a recipient without a certificate."""
    invite = settings.fallbacks.invite
    assert invite is not None  # noqa: S101 - or the rules would not have loaded
    facts = Facts(client=invite.client, sender=invite.from_, from_=invite.from_, subject="invitation", size=1024)
    to = RecipientFacts(PROBE, Direction.OUTBOUND, certificate=Absent(), enrolled=Absent(), segment=None)
    decision = rules.decide(facts, to)
    if isinstance(decision, Needs):
        return Finding("warning", "fallbacks", f"whether invitations are sent depends on {decision.fact}")
    if decision.end.kind != "deliver" or decision.fallback is not None:
        return Finding("error", "fallbacks",
                       f"invitations of client {invite.client} cannot be sent: rule {decision.rule} "
                       f"decides {decision.fallback or decision.end.kind}; add one that signs mail from {invite.from_}")
    if not any(step.verb == "sign" for step in decision.steps):
        return Finding("warning", "fallbacks", f"rule {decision.rule} sends invitations unsigned, so recipients cannot "
                       "verify the sender; add `sign` to the rule")
    return Finding("ok", "fallbacks", f"invitations are sent signed, by rule {decision.rule}")


def _pdf(settings: Settings) -> Iterator[Finding]:
    section = settings.fallbacks.encrypted_pdf
    assert section is not None  # noqa: S101 - or the rules would not have loaded
    if section.hook_program is not None and not os.access(section.hook_program, os.X_OK):
        yield Finding("error", "fallbacks", f"{section.hook_program} cannot be run, so no password can be delivered "
                      "and such mail is deferred; make it executable (chmod +x)")
    began = time.monotonic()
    try:
        probe_page(settings)
    except GatewayError as trouble:
        yield Finding("error", "fallbacks", f"encrypted PDF: {explained(trouble)}")
    else:
        yield Finding("ok", "fallbacks", f"a test PDF was encrypted in {(time.monotonic() - began) * 1000:.0f} ms; "
                      "the hook for passwords was not called")
