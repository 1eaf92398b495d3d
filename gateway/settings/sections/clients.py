"""The systems and people of the bank that send through the gateway."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import (
    ENCRYPT,
    Finding,
    Section,
    fingerprints,
    networks,
    patterns,
    travels_safely,
    web_url,
)

_FIELD = re.compile(r"[Xx]-[A-Za-z0-9-]{1,70}")


class Client(Section):
    """A system or person of the bank that may send through the gateway."""

    name: str
    networks: tuple[str, ...] = ()
    tls_certificates: tuple[str, ...] = Field((), description="SHA-256 fingerprints, hex")
    logins: tuple[str, ...] = Field((), description="user names of the password file")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="address, '*@domain' or '*'")
    header: str = Field(
        "", description="a header field that its mail must also have, such as X-Bank-Route; it is removed")
    header_file: Path | None = Field(None, description="its value, a secret; one per line, each is accepted; mode 0600")
    token_file: Path | None = Field(
        None, description="SHA-256 of its token for `api`, of two during a rotation: `sealgate client token`")
    scopes: tuple[Literal["codes", "statements", "operate", "release", "audit"], ...] = Field(
        (), description="permissions over HTTP: docs/api.md")
    callback_url: str = Field("", description="receives events of its codes and runs; https, or http on 127.0.0.1")
    callback_secret_file: Path | None = Field(
        None, description="signs the calls; a second secret on the next line during a rotation; mode 0600")
    normalise_newlines: bool = Field(False, description="convert bare CR and LF to CRLF instead of rejecting the mail")


def check(clients: Sequence[Client], *, logins_are_checked: bool) -> Iterator[Finding]:
    """Contradictions in the section. `logins_are_checked`: by the gateway's `passwords`, or by a preceding server.

    Each client is identified by something that no other client has.
    """
    owners: dict[tuple[str, str], str] = {}
    for number, client in enumerate(clients):
        at: strictyaml.Path = ("clients", number)
        yield from networks((*at, "networks"), client.networks)
        if not (client.networks or client.tls_certificates or client.logins or client.token_file):
            yield at, f"client `{client.name}` cannot be identified", (
                "set networks, tls_certificates, logins or token_file for it")
        yield from fingerprints((*at, "tls_certificates"), client.tls_certificates)
        if bool(client.header) is not (client.header_file is not None):
            yield at, "`header` and `header_file` must be set together", "set both, or neither"
        if client.header and not _FIELD.fullmatch(client.header):
            yield (*at, "header"), f"`{client.header}` is not a valid name for this header field", (
                "the field is removed from every mail, so its name must begin with X-, such as X-Bank-Route")
        if client.logins and not logins_are_checked:
            yield (*at, "logins"), "`logins` needs `passwords`", (
                "set `passwords` to the file that `sealgate client add` writes")
        for kind in ("networks", "tls_certificates", "logins"):
            for place, text in enumerate(getattr(client, kind)):
                other = owners.setdefault((kind, text), client.name)
                if other != client.name:
                    yield (*at, kind, place), (
                        f"`{text}` already identifies client `{other}`"), "remove it from one of the two clients"
        yield from patterns((*at, "from"), client.from_addresses)
        yield from _callback(at, client.callback_url, client.callback_secret_file)


def _callback(at: strictyaml.Path, url: str, secret: Path | None) -> Iterator[Finding]:
    if bool(url) is not (secret is not None):
        yield at, "`callback_url` and `callback_secret_file` must be set together", "set both, or neither"
    unusable = tuple(web_url((*at, "callback_url"), url)) if url else ()
    yield from unusable
    if url and not unusable and not travels_safely(url):
        yield (*at, "callback_url"), f"`{url}` would send customer numbers unencrypted", ENCRYPT
