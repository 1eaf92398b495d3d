"""`sealgate check`: whether runs of statements could go: secret, documents, and what the rules make of a mail."""

from collections.abc import Iterator

from gateway import app as composition
from gateway.app.documents import tried_out
from gateway.app.services import returns_of
from gateway.app.trial import own_words
from gateway.cli.check_finding import Finding
from gateway.cli.compliance import PROBE
from gateway.errors import GatewayError
from gateway.model.address import permitted_from
from gateway.model.decision import Decision
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.lookup import Absent, CertificateAnswer, Found
from gateway.model.mail import Direction
from gateway.policy.resolve import DEVICE_BOUND
from gateway.policy.ruleset import RuleSet
from gateway.services.statements import mail
from gateway.settings import Settings, Statements

_OCTETS = 150_000  # of a mail with a document


def statements(settings: Settings) -> Iterator[Finding]:
    """Nothing of it where the settings have no section `statements`."""
    section = settings.statements
    if section is None:
        return
    returns_of(section)
    own = tried_out(settings)
    yield Finding("ok", "statements", "secret is there, documents can be made; templates of the bank's own: "
                  f"{', '.join(own) or 'none'}")
    yield from _words(settings)
    if settings.mode == "observe":
        yield Finding("warning", "statements", "OBSERVE: no runs are sent, for their mails would leave as they are")
    rules = composition.load_rules(settings)
    over_http = [one.name for one in settings.clients if "statements" in one.scopes]
    for client in dict.fromkeys((section.client, *over_http)):
        yield from _client(settings, section, rules, client)
    if over_http and not section.sources.is_dir():
        what = "Not a directory" if section.sources.exists() else "No such file or directory"
        yield Finding("error", "statements", f"{section.sources}: {what}; runs over HTTP read below `sources`")


def _client(settings: Settings, section: Statements, rules: RuleSet, client: str) -> Iterator[Finding]:
    permitted = next(one.from_addresses for one in settings.clients if one.name == client)
    if not permitted_from(permitted, section.from_):
        yield Finding("error", "statements", f"{client} sends runs and may not use {section.from_}: put it into `from` "
                      "of this client")
        return
    with_one = _decided(rules, section.from_, client, Found((DEVICE_BOUND,), enrolled=True))
    if with_one is None or with_one.end.kind != "deliver":
        what = f"rule {with_one.rule} says {with_one.end.kind}" if with_one else "the rules ask for more than a run has"
        yield Finding("error", "statements", f"those of {client} cannot leave: {what}; policies/statements.yaml has "
                      "rules for them")
        return
    if {"sign", "encrypt"} <= {step.verb for step in with_one.steps}:
        yield Finding("ok", "statements", f"those of {client} leave sealed, by rule {with_one.rule}")
    else:
        yield Finding("warning", "statements", f"those of {client} leave without signature or encryption, by rule "
                      f"{with_one.rule}")
    without = _decided(rules, section.from_, client, Absent())
    if without is not None:
        plain = without.fallback == "plain_knowingly"
        yield Finding("warning" if plain else "ok", "statements", f"those of {client} to a customer without a "
                      f"certificate: {without.fallback or without.end.kind}, by rule {without.rule}")


def _words(settings: Settings) -> Iterator[Finding]:
    for file, looked_at in own_words(settings):
        if isinstance(looked_at, GatewayError):
            yield Finding("error", "statements", looked_at.detail)
        elif unknown := sorted(looked_at - mail.NAMES):
            yield Finding("warning", "statements", f"{file}: a run's mail has no `{unknown[0]}`; it has "
                          f"{', '.join(sorted(mail.NAMES))}")


def _decided(rules: RuleSet, from_: str, client: str, answer: CertificateAnswer) -> Decision | None:
    facts = Facts(client, from_, from_, "Statement", _OCTETS)
    found = rules.decide(facts, RecipientFacts(PROBE, Direction.OUTBOUND, certificate=answer, enrolled=answer,
                                               segment=None))
    return found if isinstance(found, Decision) else None
