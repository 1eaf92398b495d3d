"""The bank's keys in files and on PKCS#11 tokens, and time-stamping services."""

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
    """Another key of a key set: of those valid now, the one that expires last signs; all of them decrypt."""

    key: Path | None = Field(None, description="PEM or DER PKCS#8 (may be encrypted) or PKCS#12, mode 0600")
    passphrase_file: Path | None = None
    token: str = Field("", description="instead of `key`: name of a token")
    object: str = Field("", description="label of the key on the token, or id:HEX")
    certificate: Path
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


class Stamper(Section):
    """A time-stamping service (RFC 3161). `internal` is part of the gateway; `http` is an external service."""

    name: str
    kind: Literal["internal", "http"] = "internal"
    key: Path | None = Field(None, description="internal: P-256")
    passphrase_file: Path | None = None
    token: str = Field("", description="internal, instead of `key`: name of a token")
    object: str = Field("", description="label of the key on the token, or id:HEX")
    certificate: Path | None = Field(None, description="internal: its only extended key usage is timeStamping")
    chain: Path | None = None
    policy_oid: str = Field(
        "", description="internal: an OID of the bank; http: the policy to request, '' = the service's default")
    accuracy_ms: int = Field(1000, ge=1)
    clock_check: Literal["kernel", "none"] = "kernel"
    url: str = Field("", description="http: requests are sent to it by POST")
    username: str = Field("", description="http: for HTTP Basic")
    password_file: Path | None = Field(None, description="http: first line is the password; mode 0600")
    client_certificate: Path | None = Field(None, description="http: PEM, for TLS client authentication")
    client_key: Path | None = Field(None, description="http: PEM, mode 0600")
    tls_ca: Path | None = Field(None, description="http: PEM of the roots; None = the system's")
    networks: tuple[str, ...] = Field((), description="http: private networks that its address may be in")
    deadline_s: float = Field(5.0, gt=0, le=60, description="http: for the whole round trip")
    in_flight_max: int = Field(4, ge=1, description="http: requests at once; further ones fail at once")


def check(tokens: Sequence[Token], keys: Sequence[KeySet], stampers: Sequence[Stamper],
          clients: Sequence[str]) -> Iterator[Finding]:
    """Contradictions in these sections."""
    known = [token.name for token in tokens]
    for number, token in enumerate(tokens):
        if not token.module.is_absolute():
            yield ("tokens", number, "module"), f"`{token.module}` is not an absolute path", (
                "write the full path of the PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so")
    for number, key in enumerate(keys):
        at: strictyaml.Path = ("keys", number)
        yield from _key(at, key, clients)
        yield from _place(at, key, known)
        for place, generation in enumerate(key.generations):
            yield from _place((*at, "generations", place), generation, known)
    for number, stamper in enumerate(stampers):
        yield from _stamper(("stampers", number), stamper, known)


def _place(at: strictyaml.Path, key: Generation | Stamper, tokens: Sequence[str]) -> Iterator[Finding]:
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


_INTERNAL_ONLY = ("key", "passphrase_file", "token", "object", "certificate", "chain")
_HTTP_ONLY = ("url", "username", "password_file", "client_certificate", "client_key", "tls_ca", "networks")


def _stamper(at: strictyaml.Path, stamper: Stamper, tokens: Sequence[str]) -> Iterator[Finding]:
    foreign = _HTTP_ONLY if stamper.kind == "internal" else _INTERNAL_ONLY
    for name in foreign:
        if getattr(stamper, name):
            yield (*at, name), f"`{name}` is not valid for a stamper of kind {stamper.kind}", (
                "remove it, or change `kind`")
    if stamper.kind == "internal":
        yield from _place(at, stamper, tokens)
        if stamper.certificate is None:
            yield at, "an internal stamper needs `certificate`", "set `certificate` to its PEM file"
    elif not stamper.url.startswith(("https://", "http://")):
        yield (*at, "url"), f"`{stamper.url}` is not a valid HTTP URL", (
            "write the URL of the time-stamping service, such as https://tsa.example/tsr")
    else:
        yield from web_url((*at, "url"), stamper.url)
        if stamper.username and not travels_safely(stamper.url):
            yield (*at, "url"), f"`{stamper.url}` would send `username` and the password unencrypted", (
                "use an https:// URL")
    if not is_oid(stamper.policy_oid) and (stamper.kind == "internal" or stamper.policy_oid):
        yield (*at, "policy_oid"), f"`{stamper.policy_oid}` is not a valid object identifier (OID)", (
            "write numbers with dots, such as 1.3.6.1.4.1.99999.1.1 below the bank's own enterprise number")
    if bool(stamper.username) is not (stamper.password_file is not None):
        yield at, "`username` and `password_file` must be set together", "set both, or neither"
    if (stamper.client_certificate is None) is not (stamper.client_key is None):
        yield at, "`client_certificate` and `client_key` must be set together", "set both, or neither"
