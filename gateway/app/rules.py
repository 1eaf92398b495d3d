"""The policies of the settings, and the names that they may use."""

from collections.abc import Mapping

from gateway.actions.table import VERBS
from gateway.model.fallbacks import FALLBACKS
from gateway.model.mail import GATEWAY_CLIENT
from gateway.policy.load import load
from gateway.policy.rules import Known
from gateway.policy.ruleset import RuleSet
from gateway.settings import Settings, Texts, policy_texts

__all__ = ["load_rules", "policy_texts", "verbs_known"]


def verbs_known(settings: Settings) -> Known:
    """The names that policies of these settings may use."""
    return Known(
        clients=frozenset((GATEWAY_CLIENT, *(client.name for client in settings.clients))),
        signing_keys=frozenset(key.name for key in settings.keys if key.purpose == "sign"),
        stampers=frozenset(stamper.name for stamper in settings.stampers),
        escrow=frozenset(escrow.name for escrow in settings.escrow),
        services=frozenset(settings.mailboxes),
        fallbacks=_fallbacks(settings),
        unsupplied=_unsupplied(settings),
    )


def _fallbacks(settings: Settings) -> frozenset[str]:
    """Values of `without_certificate`. To hold mail needs an archive certificate, which `end: hold` needs as well."""
    return frozenset({"reject"} | {
        name for name, one in FALLBACKS.items()
        if not one.has_settings or getattr(settings.fallbacks, name) is not None})


def _unsupplied(settings: Settings) -> Mapping[str, str]:
    """Facts that nothing configured supplies: a rule that asks for one would never match, and look as if it did."""
    peers = any(listener.trusted_peers for listener in settings.listeners if listener.role == "inbound")
    if peers and settings.bank.trusted_authserv_ids:
        return {}
    return {
        "authentication": "no filter in front is believed: "
        "set bank.trusted_authserv_ids and trusted_peers of the inbound listener"
    }


def load_rules(settings: Settings, texts: Texts | None = None) -> RuleSet:
    """The policies of the settings, in their order. GatewayError CONFIG_INVALID with every problem at once.

    `texts`: their texts, if they have been read already.
    """
    return load(policy_texts(settings.policies) if texts is None else texts, VERBS, verbs_known(settings))
