"""The policies of the settings, and the names that they may use."""

from collections.abc import Mapping
from pathlib import Path

from gateway.actions.table import VERBS
from gateway.errors import GatewayError, Reason
from gateway.policy.load import load
from gateway.policy.rules import Known
from gateway.policy.ruleset import RuleSet
from gateway.settings import Settings


def verbs_known(settings: Settings) -> Known:
    """The names that policies of these settings may use."""
    return Known(
        clients=frozenset(client.name for client in settings.clients),
        signing_keys=frozenset(key.name for key in settings.keys if key.purpose == "sign"),
        stampers=frozenset(stamper.name for stamper in settings.stampers),
        escrow=frozenset(escrow.name for escrow in settings.escrow),
        unsupplied=_unsupplied(settings),
    )


def _unsupplied(settings: Settings) -> Mapping[str, str]:
    """Facts that nothing configured supplies: a rule that asks for one would never match, and look as if it did."""
    peers = any(listener.trusted_peers for listener in settings.listeners if listener.role == "inbound")
    if peers and settings.bank.trusted_authserv_ids:
        return {}
    return {
        "authentication": "no filter in front is believed: "
        "set bank.trusted_authserv_ids and trusted_peers of the inbound listener"
    }


def load_rules(settings: Settings) -> RuleSet:
    """The policies of the settings, in their order. GatewayError CONFIG_INVALID with every problem at once."""
    return load(policy_texts(settings.policies), VERBS, verbs_known(settings))


def policy_texts(paths: tuple[Path, ...]) -> tuple[tuple[str, str], ...]:
    """(name, text) of each file. GatewayError CONFIG_UNREADABLE with every file that cannot be read."""
    texts, troubles = [], []
    for path in paths:
        try:
            texts.append((str(path), path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as trouble:
            troubles.append(f"{path}: {getattr(trouble, 'strerror', None) or 'is not UTF-8'}")
    if troubles:
        raise GatewayError(Reason.CONFIG_UNREADABLE, "\n".join(troubles))
    return tuple(texts)
