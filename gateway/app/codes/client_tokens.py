"""Tokens of the clients that ask over HTTP (`api`)."""

from gateway.adapters.files.partner_tokens import make_token
from gateway.errors import GatewayError, Reason
from gateway.settings import Settings
from gateway.strictyaml import nearest


def token_for(settings: Settings, name: str) -> str:
    """A new token for a client, who has no other from the next reload on. USAGE."""
    clients = {client.name: client for client in settings.clients}
    if name not in clients:
        remedy = nearest(name, clients) or "see `clients` in the settings"
        raise GatewayError(Reason.USAGE, f"the settings have no client `{name}`: {remedy}")
    path = clients[name].token_file
    if path is None:
        raise GatewayError(Reason.USAGE, f"client `{name}` has no `token_file` in the settings. Set it first")
    return make_token(path)
