"""`sealgate check`: whether one-time codes could leave: secret, templates, and what the rules make of one."""

from collections.abc import Iterator

from gateway import app as composition
from gateway.app.codes import prepared
from gateway.cli.check_finding import Finding
from gateway.cli.compliance import in_force
from gateway.model.address import permitted_from
from gateway.policy.resolve import sealed
from gateway.settings import Settings


def codes(settings: Settings) -> Iterator[Finding]:
    """Nothing of it where the settings have no section `codes`."""
    section = settings.codes
    if section is None:
        return
    prepared(settings)
    yield Finding("ok", "codes", f"{section.digits} digits, good for {section.life_s} s; secret and templates load")
    if settings.mode == "observe":
        yield Finding("warning", "codes", "OBSERVE: no codes are sent, for they would leave as they are")
    now = in_force(settings, composition.load_rules(settings))
    if not now.sealed:
        yield Finding("warning", "codes", f"no client may order codes: one with `scopes: [codes]` and {section.from_} "
                      "in `from`")
    addresses = {client.name: client.from_addresses for client in settings.clients}
    for client, decision in now.sealed.items():
        if not permitted_from(addresses[client], section.from_):
            yield Finding("error", "codes", f"{client} may order codes and may not use {section.from_}: put it into "
                          "`from` of this client")
        elif decision.end.kind == "deliver" and sealed(decision):
            yield Finding("ok", "codes", f"those of {client} leave sealed, by rule {decision.rule}")
        else:
            yield Finding("error", "codes", f"those of {client} cannot leave: rule {decision.rule} does not sign and "
                          "encrypt them to enrolled certificates; policies/codes.yaml has one that does")
    for client, decision in now.without.items():
        if decision.end.kind not in ("reject", "defer"):
            yield Finding("warning", "codes", f"those of {client} to a customer without a certificate: rule "
                          f"{decision.rule} says {decision.fallback or decision.end.kind}; they are refused all the "
                          "same. Let it say `without_certificate: reject`")
