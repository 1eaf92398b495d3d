"""`sealgate check`: whether what comes back finds its service, and alarms find whoever looks after them."""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway import app as composition
from gateway.app.services import CODES, alarm_address, mailboxes
from gateway.cli.check_finding import Finding
from gateway.model.address import domain_of, permitted_from
from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.mail import direction
from gateway.model.verdict import DecryptionVerdict, HeadersShown, SignatureVerdict, Status, Trust, Verdicts
from gateway.policy.ruleset import RuleSet
from gateway.settings import Settings

_SOMEBODY: Final = "mailer-daemon@elsewhere.example"
_PLAIN: Final = Verdicts((), DecryptionVerdict("not_encrypted"), SignatureVerdict(Status.NOT_SIGNED), HeadersShown(),
                         Trust.UNKNOWN)


def returns(settings: Settings) -> Iterator[Finding]:
    """Each service's mailbox and return paths by the rules, as a bounce would come; then the alarm."""
    rules = composition.load_rules(settings)
    for name, mailbox in mailboxes(settings).items():
        yield from _mailbox(settings, rules, name, mailbox)
    for name, from_ in _without(settings).items():
        yield Finding("warning", name, f"no mailbox for what comes back (`bounces`): mails from {from_} that do not "
                      "arrive are told by nobody; docs/bounces.md")
    if settings.codes is not None and CODES in mailboxes(settings):
        yield from _alarm(settings, rules, settings.codes.from_, alarm_address(settings))


def _without(settings: Settings) -> Mapping[str, str]:
    sections = {"codes": settings.codes, "statements": settings.statements}
    return {name: one.from_ for name, one in sections.items() if one is not None and not one.bounces}


def _mailbox(settings: Settings, rules: RuleSet, name: str, mailbox: str) -> Iterator[Finding]:
    if not _is_ours(settings, mailbox):
        yield Finding("error", f"{name}.bounces", f"{mailbox} is in no mail domain of the bank: nothing will arrive")
        return
    local, _, domain = mailbox.rpartition("@")
    for address in (f"{local}+0-1.{'a' * 16}@{domain}", mailbox):
        facts = Facts(None, "", _SOMEBODY, "Undelivered", 4096, kind="dsn", verdicts=_PLAIN)
        found = rules.decide(facts, RecipientFacts(address, direction(client_is_ours=False, recipient_is_ours=True)))
        if not isinstance(found, Decision) or found.end.service != name:
            what = f"rule {found.rule}: {found.end.kind}" if isinstance(found, Decision) else f"hangs on {found.fact}"
            yield Finding("error", f"{name}.bounces", f"a bounce for {address} does not reach the service ({what}); "
                          f"`end: {{hand_to: {name}}}` for it: policies/bounces.yaml, docs/bounces.md")
            return
    yield Finding("ok", f"{name}.bounces", f"what comes back to {mailbox} is handed to the service")


def _alarm(settings: Settings, rules: RuleSet, from_: str, to: str) -> Iterator[Finding]:
    """Of each client that may have codes sent: an alarm is sent in its name."""
    to_us = _is_ours(settings, to)
    for client in settings.clients:
        if not permitted_from(client.from_addresses, from_):
            continue
        facts = Facts(client.name, from_, from_, "alarm", 4096)
        found = rules.decide(facts, RecipientFacts(to, direction(client_is_ours=True, recipient_is_ours=to_us)))
        if isinstance(found, Needs) or found.end.kind == "deliver":
            yield Finding("ok", "codes.alarm_to", f"an alarm in the name of {client.name} may leave for {to}")
        else:
            yield Finding("error", "codes.alarm_to", f"an alarm in the name of {client.name} for {to} would not leave "
                          f"(rule {found.rule}: {found.end.kind}); it needs one, as `otp-alarm` of policies/codes.yaml")


def _is_ours(settings: Settings, address: str) -> bool:
    return domain_of(address) in {one.lower() for one in settings.bank.domains}
