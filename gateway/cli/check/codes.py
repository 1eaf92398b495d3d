"""`sealgate check`: whether one-time codes could leave: secret, templates, and what the rules make of one."""

from collections.abc import Iterator

from gateway import app as composition
from gateway.app.codes.service import prepared
from gateway.cli.compliance.command import in_force
from gateway.model.finding import Finding
from gateway.model.mailbox import permitted_from
from gateway.policy.resolve import sealed
from gateway.settings import Settings


def codes(settings: Settings) -> Iterator[Finding]:
    """Nothing of it where the settings have no section `codes`."""
    section = settings.codes
    if section is None:
        return
    prepared(settings)
    yield Finding("ok", "codes",
                  f"{section.digits} digits, valid for {section.life_s} s; secret and templates can be loaded")
    if settings.mode == "observe":
        yield Finding("warning", "codes", "OBSERVE: no codes are sent, because they would not be encrypted")
    now = in_force(settings, composition.load_rules(settings))
    if not now.sealed:
        yield Finding("warning", "codes", f"no client may order codes; add `scopes: [codes]` and {section.from_} in "
                      "`from` to a client")
    addresses = {client.name: client.from_addresses for client in settings.clients}
    for client, decision in now.sealed.items():
        if not permitted_from(addresses[client], section.from_):
            yield Finding("error", "codes", f"client {client} may order codes but not use {section.from_}; add it to "
                          "`from` of this client")
        elif decision.end.kind == "deliver" and sealed(decision):
            yield Finding("ok", "codes", f"codes of client {client} are sent encrypted, by rule {decision.rule}")
        else:
            yield Finding("error", "codes", f"codes of client {client} cannot be sent: rule {decision.rule} does not "
                          "sign and encrypt them to enrolled certificates; add the rule of policies/codes.yaml")
    for client, decision in now.without.items():
        if decision.end.kind not in ("reject", "defer"):
            yield Finding("warning", "codes", f"codes of client {client} to a customer without a certificate: rule "
                          f"{decision.rule} decides {decision.fallback or decision.end.kind}, but codes are always "
                          "rejected then; write `without_certificate: reject` in the rule")
