"""The bank's keys in files and on PKCS#11 tokens, and the certificates of escrow."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway import strictyaml
from gateway.model.scheme import SignScheme
from gateway.settings.base import Finding, Section, patterns


class Token(Section):
    """A PKCS#11 token (HSM, smart card) that holds keys."""

    name: str
    module: Path = Field(description="the vendor's PKCS#11 library, an absolute path")
    label: str = Field(description="the token's own label")
    pin_file: Path = Field(description="first line is the user PIN; mode 0600")


class KeyPlace(Section):
    """Where a private key is: in a file or on a token."""

    key: Path | None = Field(None, description="PEM or DER PKCS#8 (may be encrypted) or PKCS#12, mode 0600")
    passphrase_file: Path | None = None
    token: str = Field("", description="instead of `key`: name of a token")
    object: str = Field("", description="label of the key on the token, or id:HEX")
    certificate: Path


class Generation(KeyPlace):
    """Another key of a key set: of those valid now, the one that expires last signs; all of them decrypt."""

    chain: Path | None = Field(None, description="PEM: intermediates to include in signatures")


class KeySet(Generation):
    """Keys of one purpose with their certificates, and the clients that may use them."""

    name: str
    purpose: Literal["sign", "decrypt"]
    encryption_certificate: Path | None = Field(None, description="sign: recipients encrypt their answers to it")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="sign: From addresses that may use it")
    clients: tuple[str, ...] = Field((), description="sign: clients that may use it; empty = none")
    recipients: tuple[str, ...] = Field((), description="decrypt: envelope recipients whose mail it opens")
    scheme: str = Field(
        "", description="sign: '' = rsa-pkcs1-sha256, ecdsa-sha256/384 or ed25519, depending on the key")
    generations: tuple[Generation, ...] = Field((), description="earlier and future keys of this set")


def check(tokens: Sequence[Token], keys: Sequence[KeySet], clients: Sequence[str]) -> Iterator[Finding]:
    """Contradictions in these sections."""
    known = [token.name for token in tokens]
    for number, token in enumerate(tokens):
        if not token.module.is_absolute():
            yield ("tokens", number, "module"), f"`{token.module}` is not an absolute path", (
                "write the full path of the PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so")
    for number, key in enumerate(keys):
        at: strictyaml.Path = ("keys", number)
        yield from _key(at, key, clients)
        yield from check_place(at, key, known)
        for place, generation in enumerate(key.generations):
            yield from check_place((*at, "generations", place), generation, known)


def check_place(at: strictyaml.Path, key: KeyPlace, tokens: Sequence[str]) -> Iterator[Finding]:
    """A key is in a file or on a token."""
    if (key.key is None) is (not key.token):
        yield at, "a key must be either in a file or on a token", "set `key`, or `token` and `object`, not both"
    if key.token and key.token not in tokens:
        yield (*at, "token"), f"`tokens` has no token `{key.token}`", (
            strictyaml.nearest(key.token, tokens) or "add it to `tokens`, or name one that is there")
    if bool(key.token) is not bool(key.object):
        yield at, "`token` and `object` must be set together", (
            "set `object` to the key's label on the token, or to id:HEX")
    if key.token and key.passphrase_file is not None:
        yield (*at, "passphrase_file"), "a key on a token has no passphrase", (
            "remove `passphrase_file`; set the PIN by `pin_file` of the token")


def _key(at: strictyaml.Path, key: KeySet, clients: Sequence[str]) -> Iterator[Finding]:
    only_sign = {"from": key.from_addresses, "clients": key.clients, "scheme": key.scheme, "chain": key.chain,
                 "encryption_certificate": key.encryption_certificate}
    if key.purpose == "sign":
        if key.recipients:
            yield (*at, "recipients"), "`recipients` is for keys that decrypt, and this key signs", (
                "remove `recipients`, or write purpose: decrypt")
        if not key.from_addresses:
            yield at, f"the signing key `{key.name}` has no `from`, so no mail can be signed with it", (
                'add the From addresses that may use it, such as from: ["otp@bank.example"]')
    else:
        for name, value in only_sign.items():
            if value:
                yield (*at, name), f"`{name}` is for signing keys, and this key decrypts", (
                    f"remove `{name}`, or write purpose: sign")
        if not key.recipients:
            yield at, f"the key `{key.name}` has no `recipients`, so no mail can be decrypted with it", (
                'add the recipients whose mail it decrypts, such as recipients: ["*@bank.example"]')
    yield from patterns((*at, "from"), key.from_addresses)
    yield from patterns((*at, "recipients"), key.recipients)
    for number, client in enumerate(key.clients):
        if client not in clients:
            yield (*at, "clients", number), f"`clients` has no client `{client}`", (
                strictyaml.nearest(client, clients) or "add it to `clients`, or name one that is there")
    if key.scheme and key.scheme not in list(SignScheme):
        yield (*at, "scheme"), f"`{key.scheme}` is not a valid signature scheme", (
            strictyaml.nearest(key.scheme, list(SignScheme)) or "one of: " + ", ".join(SignScheme))


class Escrow(Section):
    """A certificate that the verb `escrow` adds to the recipients; its holder can decrypt those mails."""

    name: str
    certificate: Path
