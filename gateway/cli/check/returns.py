"""`sealgate check`: whether bounces and replies reach their service, and alarms reach their mailbox."""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway import app as composition
from gateway.app.services import alarm_address
from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.finding import Finding
from gateway.model.lookup import Found
from gateway.model.mail import GATEWAY_CLIENT, direction
from gateway.model.mailbox import in_domains, permitted_from
from gateway.model.verdict import DecryptionVerdict, HeadersShown, SignatureVerdict, Status, Trust, Verdicts
from gateway.policy.resolve import DEVICE_BOUND
from gateway.policy.ruleset import RuleSet
from gateway.settings import KeySet, Settings

_SOMEBODY: Final = "mailer-daemon@elsewhere.example"
_PLAIN: Final = Verdicts((), DecryptionVerdict("not_encrypted"), SignatureVerdict(Status.NOT_SIGNED), HeadersShown(),
                         Trust.UNKNOWN)


def returns(settings: Settings) -> Iterator[Finding]:
    """Each service's mailbox and return paths by the rules, as a bounce would come; then the alarm."""
    rules = composition.load_rules(settings)
    for name, mailbox in settings.mailboxes.items():
        yield from _mailbox(settings, rules, name, mailbox)
    for name, from_ in _without(settings).items():
        yield Finding("warning", name, f"`bounces` is not set, so bounces of mails from {from_} are not "
                      "processed; set it: docs/bounces.md")
    if settings.codes is not None and settings.codes.bounces:
        yield from _alarm(settings, rules, settings.codes.from_, alarm_address(settings))


def _without(settings: Settings) -> Mapping[str, str]:
    sections = {"codes": settings.codes, "statements": settings.statements}
    return {name: one.from_ for name, one in sections.items() if one is not None and not one.bounces}


def _mailbox(settings: Settings, rules: RuleSet, name: str, mailbox: str) -> Iterator[Finding]:
    if not _is_ours(settings, mailbox):
        yield Finding("error", f"{name}.bounces",
                      f"{mailbox} is not in a mail domain of the bank, so no bounce arrives; "
                      "use an address in one of `bank.domains`")
        return
    local, _, domain = mailbox.rpartition("@")
    for address in (f"{local}+0-1.{'a' * 16}@{domain}", mailbox):
        facts = Facts(None, "", _SOMEBODY, "Undelivered", 4096, kind="dsn", verdicts=_PLAIN)
        found = rules.decide(facts, RecipientFacts(address, direction(client_is_ours=False, recipient_is_ours=True)))
        if not isinstance(found, Decision) or found.end.service != name:
            what = f"rule {found.rule}: {found.end.kind}" if isinstance(found, Decision) else f"depends on {found.fact}"
            yield Finding("error", f"{name}.bounces", f"a bounce for {address} does not reach the service ({what}); "
                          f"add a rule with `end: {{hand_to: {name}}}`: policies/bounces.yaml, docs/bounces.md")
            return
    yield Finding("ok", f"{name}.bounces", f"bounces to {mailbox} reach the service")


def _alarm(settings: Settings, rules: RuleSet, from_: str, to: str) -> Iterator[Finding]:
    """Whether an alarm, which the gateway sends as its own client, may leave and be signed."""
    about = "codes.alarm_to"
    facts = Facts(GATEWAY_CLIENT, from_, from_, "alarm", 4096)
    to_us = direction(client_is_ours=True, recipient_is_ours=_is_ours(settings, to))
    best = Found((DEVICE_BOUND,), enrolled=True)  # whether there is a certificate is not the question here
    found = rules.decide(facts, RecipientFacts(to, to_us, certificate=best, enrolled=best, segment=None))
    if isinstance(found, Needs):
        return
    if found.end.kind != "deliver":
        yield Finding("error", about, f"an alarm to {to} would not be sent (rule {found.rule}: {found.end.kind}); "
                      f"add a rule with `client: {GATEWAY_CLIENT}`, as `otp-alarm` of policies/codes.yaml")
        return
    keys = [name for step in found.steps if step.verb == "sign" for name in step.params.with_]
    if keys and not any(_may_sign(key, from_) for key in settings.keys if key.name in keys):
        yield Finding("error", about, f"no key set of rule {found.rule} may sign an alarm; add `{GATEWAY_CLIENT}` to "
                      f"`clients` of {' or '.join(keys)}, and {from_} to its `from`")
    else:
        yield Finding("ok", about, f"an alarm can be sent to {to}")


def _may_sign(key: KeySet, from_: str) -> bool:
    return GATEWAY_CLIENT in key.clients and permitted_from(key.from_addresses, from_)


def _is_ours(settings: Settings, address: str) -> bool:
    return in_domains(address, settings.bank.domains)
