"""Tokens of systems that use the gateway over HTTP: clients (`api`) and partners (`http`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.adapters.files.partner_tokens import end_former, make_token, read_digests
from gateway.adapters.web.callback import webhook_secrets
from gateway.errors import GatewayError, Reason, file_error
from gateway.settings import Settings
from gateway.strictyaml import nearest


def client_token(settings: Settings, name: str, *, keep: bool = False) -> str:
    """A new token for a client, valid from the next reload on. `keep`: the present one stays valid, too. USAGE."""
    return make_token(_client_file(settings, name), keep=keep)


def end_former_token(settings: Settings, name: str) -> bool:
    """From the next reload on a client has its newest token only; whether there was another one. USAGE."""
    return end_former(_client_file(settings, name))


def unusable(settings: Settings) -> Iterator[tuple[str, GatewayError]]:
    """The clients whose file of tokens or of webhook secrets is there and cannot be used, each with the reason."""
    for client in settings.clients:
        for path, read in ((client.token_file, read_digests), (client.callback_secret_file, webhook_secrets)):
            if path is None:
                continue
            try:
                if path.exists():
                    read(path)
            except GatewayError as error:
                yield client.name, error
            except OSError as error:  # a directory above it denies access
                yield client.name, GatewayError(Reason.CONFIG_UNREADABLE, file_error(path, error))


def _client_file(settings: Settings, name: str) -> Path:
    return _file("clients", "client", {one.name: one.token_file for one in settings.clients}, name)


def partner_token(settings: Settings, name: str) -> str:
    """A new token for a partner; from the next reload on it has no other. USAGE."""
    partners = settings.http.partners if settings.http is not None else ()
    return make_token(_file("http.partners", "partner", {one.name: one.token_file for one in partners}, name))


def _file(section: str, what: str, files: Mapping[str, Path | None], name: str) -> Path:
    if name not in files:
        remedy = nearest(name, files) or f"see `{section}` in the settings"
        raise GatewayError(Reason.USAGE, f"`{section}` has no {what} `{name}`: {remedy}")
    path = files[name]
    if path is None:
        raise GatewayError(Reason.USAGE, f"{what} `{name}` has no `token_file` in the settings. Set it first")
    return path
