"""Keys of the bank, where they lie, and the services that stamp: files, PKCS#11 tokens, time-stamping services."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway import strictyaml
from gateway.model.scheme import SignScheme
from gateway.settings.base import Finding, Section, is_oid, patterns, travels_safely, web_url


class Token(Section):
    """A PKCS#11 token (HSM, smart card) that holds keys."""

    name: str
    module: Path = Field(description="the vendor's PKCS#11 library, an absolute path")
    label: str = Field(description="the token's own label")
    pin_file: Path = Field(description="first line is the user PIN; mode 0600")


class Generation(Section):
    """One more key of a key set: of those valid now the one that ends last signs; each of them decrypts."""

    key: Path | None = Field(None, description="PEM or DER PKCS#8 (may be encrypted) or PKCS#12, mode 0600")
    passphrase_file: Path | None = None
    token: str = Field("", description="in place of `key`: name of a token")
    object: str = Field("", description="label of the key on the token, or id:HEX")
    certificate: Path
    chain: Path | None = Field(None, description="PEM: intermediates that are enclosed in signatures")


class KeySet(Generation):
    """Keys of one purpose with their certificates, and who may use them."""

    name: str
    purpose: Literal["sign", "decrypt"]
    encryption_certificate: Path | None = Field(None, description="sign: told to recipients as our encryption key")
    from_addresses: tuple[str, ...] = Field((), alias="from", description="sign: From addresses that may use it")
    clients: tuple[str, ...] = Field((), description="sign: clients that may use it; empty = nobody")
    recipients: tuple[str, ...] = Field((), description="decrypt: envelope recipients whose mail it opens")
    scheme: str = Field("", description="sign: '' = rsa-pkcs1-sha256, ecdsa-sha256/384 or ed25519, by key")
    generations: tuple[Generation, ...] = Field((), description="older and coming keys of this set")


class Stamper(Section):
    """A time-stamping service (RFC 3161). `internal` is our own, embedded; `http` somebody's over HTTP."""

    name: str
    kind: Literal["internal", "http"] = "internal"
    key: Path | None = Field(None, description="internal: P-256")
    passphrase_file: Path | None = None
    token: str = Field("", description="internal, in place of `key`: name of a token")
    object: str = Field("", description="label of the key on the token, or id:HEX")
    certificate: Path | None = Field(None, description="internal: sole purpose timeStamping")
    chain: Path | None = None
    policy_oid: str = Field("", description="internal: of our own arc; http: asked for, '' = the service's default")
    accuracy_ms: int = Field(1000, ge=1)
    clock_check: Literal["kernel", "none"] = "kernel"
    url: str = Field("", description="http: where requests are posted to")
    username: str = Field("", description="http: for HTTP Basic")
    password_file: Path | None = Field(None, description="http: first line is the password; mode 0600")
    client_certificate: Path | None = Field(None, description="http: PEM, for TLS client authentication")
    client_key: Path | None = Field(None, description="http: PEM, mode 0600")
    tls_ca: Path | None = Field(None, description="http: PEM of the roots; None = the system's")
    networks: tuple[str, ...] = Field((), description="http: private networks in which it may stand")
    deadline_s: float = Field(5.0, gt=0, le=60, description="http: for the whole round trip")
    in_flight_max: int = Field(4, ge=1, description="http: requests at once; further ones do not wait")


def check(tokens: Sequence[Token], keys: Sequence[KeySet], stampers: Sequence[Stamper],
          clients: Sequence[str]) -> Iterator[Finding]:
    """In what they contradict themselves."""
    known = [token.name for token in tokens]
    for number, token in enumerate(tokens):
        if not token.module.is_absolute():
            yield ("tokens", number, "module"), f"`{token.module}` is no absolute path", (
                "such as /usr/lib/softhsm/libsofthsm2.so: a library is loaded from a place that is certain")
    for number, key in enumerate(keys):
        at: strictyaml.Path = ("keys", number)
        yield from _key(at, key, clients)
        yield from _place(at, key, known)
        for place, generation in enumerate(key.generations):
            yield from _place((*at, "generations", place), generation, known)
    for number, stamper in enumerate(stampers):
        yield from _stamper(("stampers", number), stamper, known)


def _place(at: strictyaml.Path, key: Generation | Stamper, tokens: Sequence[str]) -> Iterator[Finding]:
    """A key lies in a file or on a token."""
    if (key.key is None) is (not key.token):
        yield at, "a key lies in a file or on a token", "name `key`, or `token` and `object`, not both"
    if key.token and key.token not in tokens:
        yield (*at, "token"), f"there is no token `{key.token}`", strictyaml.nearest(key.token, tokens)
    if bool(key.token) is not bool(key.object):
        yield at, "`token` and `object` belong together", "object: the key's label, or id:HEX"
    if key.token and key.passphrase_file is not None:
        yield (*at, "passphrase_file"), "a passphrase for a key on a token", "the token's PIN stands at the token"


def _key(at: strictyaml.Path, key: KeySet, clients: Sequence[str]) -> Iterator[Finding]:
    only_sign = {"from": key.from_addresses, "clients": key.clients, "scheme": key.scheme, "chain": key.chain,
                 "encryption_certificate": key.encryption_certificate}
    if key.purpose == "sign":
        if key.recipients:
            yield (*at, "recipients"), "a signing key opens no mail", "take `recipients` out, or purpose: decrypt"
        if not key.from_addresses:
            yield at, f"nobody may use key `{key.name}`: it lists no `from`", 'such as from: ["otp@bank.example"]'
    else:
        for name, value in only_sign.items():
            if value:
                yield (*at, name), f"`{name}` at a key that decrypts", "it belongs to signing keys"
        if not key.recipients:
            yield at, f"key `{key.name}` opens nobody's mail: it lists no `recipients`", (
                'such as recipients: ["*@bank.example"]')
    yield from patterns((*at, "from"), key.from_addresses)
    yield from patterns((*at, "recipients"), key.recipients)
    for number, client in enumerate(key.clients):
        if client not in clients:
            yield (*at, "clients", number), f"there is no client `{client}`", strictyaml.nearest(client, clients)
    if key.scheme and key.scheme not in list(SignScheme):
        yield (*at, "scheme"), f"`{key.scheme}` is no signature scheme", (
            strictyaml.nearest(key.scheme, list(SignScheme)) or "one of: " + ", ".join(SignScheme))


_INTERNAL_ONLY = ("key", "passphrase_file", "token", "object", "certificate", "chain")
_HTTP_ONLY = ("url", "username", "password_file", "client_certificate", "client_key", "tls_ca", "networks")


def _stamper(at: strictyaml.Path, stamper: Stamper, tokens: Sequence[str]) -> Iterator[Finding]:
    foreign = _HTTP_ONLY if stamper.kind == "internal" else _INTERNAL_ONLY
    for name in foreign:
        if getattr(stamper, name):
            yield (*at, name), f"`{name}` at a stamper of kind {stamper.kind}", "take it out, or change `kind`"
    if stamper.kind == "internal":
        yield from _place(at, stamper, tokens)
        if stamper.certificate is None:
            yield at, "an internal stamper without `certificate`", "name its PEM file"
    elif not stamper.url.startswith(("https://", "http://")):
        yield (*at, "url"), f"`{stamper.url}` is no URL of a time-stamping service", "such as https://tsa.example/tsr"
    else:
        yield from web_url((*at, "url"), stamper.url)
        if stamper.username and not travels_safely(stamper.url):
            yield (*at, "url"), f"`{stamper.url}` would send `username` and the password unencrypted", "use https://"
    if not is_oid(stamper.policy_oid) and (stamper.kind == "internal" or stamper.policy_oid):
        yield (*at, "policy_oid"), f"`{stamper.policy_oid}` is no object identifier", (
            "digits and dots, such as 1.3.6.1.4.1.99999.1.1 under your own number")
    if bool(stamper.username) is not (stamper.password_file is not None):
        yield at, "`username` and `password_file` belong together", "name both, or none"
    if (stamper.client_certificate is None) is not (stamper.client_key is None):
        yield at, "`client_certificate` and `client_key` belong together", "name both, or none"
