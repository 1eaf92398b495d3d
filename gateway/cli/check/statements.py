"""`sealgate check`: whether runs of statements could go: secret, documents, and what the rules make of a mail."""

from collections.abc import Iterator

from gateway import app as composition
from gateway.app.services import returns_of
from gateway.app.statements.documents import tried_out
from gateway.app.statements.template_check import own_words
from gateway.cli.compliance.command import PROBE
from gateway.errors import GatewayError
from gateway.model.decision import Decision
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.fallbacks import FALLBACKS
from gateway.model.finding import Finding
from gateway.model.lookup import Absent, CertificateAnswer, Found
from gateway.model.mail import Direction
from gateway.model.mailbox import permitted_from
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
    yield Finding("ok", "statements", "the secret can be read, documents can be rendered; the bank's own templates: "
                  f"{', '.join(own) or 'none'}")
    yield from _words(settings)
    if settings.mode == "observe":
        yield Finding("warning", "statements", "OBSERVE: no runs are sent, because their mails would not be encrypted")
    rules = composition.load_rules(settings)
    over_http = [one.name for one in settings.clients if "statements" in one.scopes]
    for client in dict.fromkeys((section.client, *over_http)):
        yield from _client(settings, section, rules, client)
    if over_http and not section.sources.is_dir():
        what = "Not a directory" if section.sources.exists() else "No such file or directory"
        yield Finding("error", "statements",
                      f"{section.sources}: {what}; create it for runs over HTTP, or correct `sources`")


def _client(settings: Settings, section: Statements, rules: RuleSet, client: str) -> Iterator[Finding]:
    permitted = next(one.from_addresses for one in settings.clients if one.name == client)
    if not permitted_from(permitted, section.from_):
        yield Finding("error", "statements", f"client {client} may send runs but not use {section.from_}; add it to "
                      "`from` of this client")
        return
    with_one = _decided(rules, section.from_, client, Found((DEVICE_BOUND,), enrolled=True))
    if with_one is None or with_one.end.kind != "deliver":
        what = (f"rule {with_one.rule} decides {with_one.end.kind}" if with_one else
                "the rules need facts that a run does not have")
        yield Finding("error", "statements", f"statements of client {client} cannot be sent: {what}; add the rules of "
                      "policies/statements.yaml")
        return
    if {"sign", "encrypt"} <= {step.verb for step in with_one.steps}:
        yield Finding("ok", "statements", f"statements of client {client} are sent encrypted, by rule {with_one.rule}")
    else:
        yield Finding("warning", "statements", f"rule {with_one.rule} sends statements of client {client} without "
                      "signature or encryption; add `sign` and `encrypt` to it")
    without = _decided(rules, section.from_, client, Absent())
    if without is not None:
        plain = without.fallback is not None and FALLBACKS[without.fallback].is_clear
        yield Finding("warning" if plain else "ok", "statements",
                      f"statements of client {client} to a customer without a "
                      f"certificate: {without.fallback or without.end.kind}, by rule {without.rule}")


def _words(settings: Settings) -> Iterator[Finding]:
    for file, looked_at in own_words(settings):
        if isinstance(looked_at, GatewayError):
            yield Finding("error", "statements", looked_at.detail)
        elif unknown := sorted(looked_at - mail.NAMES):
            yield Finding("warning", "statements", f"{file}: the word `{unknown[0]}` is unknown; use one of "
                          f"{', '.join(sorted(mail.NAMES))}")


def _decided(rules: RuleSet, from_: str, client: str, answer: CertificateAnswer) -> Decision | None:
    facts = Facts(client, from_, from_, "Statement", _OCTETS)
    found = rules.decide(facts, RecipientFacts(PROBE, Direction.OUTBOUND, certificate=answer, enrolled=answer,
                                               segment=None))
    return found if isinstance(found, Decision) else None
