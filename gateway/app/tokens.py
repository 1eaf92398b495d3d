"""Tokens of systems that use the gateway over HTTP: clients (`api`) and partners (`http`)."""

from collections.abc import Mapping
from pathlib import Path

from gateway.adapters.files.partner_tokens import make_token
from gateway.errors import GatewayError, Reason
from gateway.settings import Settings
from gateway.strictyaml import nearest


def client_token(settings: Settings, name: str) -> str:
    """A new token for a client; from the next reload on it has no other. USAGE."""
    return _token("clients", "client", {one.name: one.token_file for one in settings.clients}, name)


def partner_token(settings: Settings, name: str) -> str:
    """A new token for a partner; from the next reload on it has no other. USAGE."""
    partners = settings.http.partners if settings.http is not None else ()
    return _token("http.partners", "partner", {one.name: one.token_file for one in partners}, name)


def _token(section: str, what: str, files: Mapping[str, Path | None], name: str) -> str:
    if name not in files:
        remedy = nearest(name, files) or f"see `{section}` in the settings"
        raise GatewayError(Reason.USAGE, f"`{section}` has no {what} `{name}`: {remedy}")
    path = files[name]
    if path is None:
        raise GatewayError(Reason.USAGE, f"{what} `{name}` has no `token_file` in the settings. Set it first")
    return make_token(path)
