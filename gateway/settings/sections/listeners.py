"""The ports on which the gateway accepts mail."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from gateway import strictyaml
from gateway.settings.base import Finding, Section, networks

SMTP_PORT: Final = 25
IPV4: Final = 4
BELIEVED_PREFIX_MIN: Final = 8  # a bank's own 10.0.0.0/8, or the loopback
BELIEVED_PREFIX_MIN_IPV6: Final = 32  # what a provider gets


class Listener(Section):
    """One port that the gateway listens on."""

    name: str
    role: Literal["outbound", "inbound"]
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="lmtp (RFC 2033): one reply per recipient")
    tls: Literal["none", "starttls", "implicit"] = "none"
    tls_required: bool = Field(False, description="with starttls: reject MAIL before STARTTLS")
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = Field(None, description="PEM: TLS client certificates from here identify clients")
    trusted_peers: tuple[str, ...] = Field(
        (), description="networks of front ends whose Authentication-Results are accepted")
    xforward_peers: tuple[str, ...] = Field((), description="networks whose XFORWARD is accepted: client, IDENT")
    xclient_peers: tuple[str, ...] = Field((), description="networks whose XCLIENT is accepted: it sets the client")
    recipient_check: Literal["none", "next_hop"] = "none"


def check(listeners: Sequence[Listener]) -> Iterator[Finding]:
    """Contradictions in the section."""
    for number, listener in enumerate(listeners):
        yield from _listener(("listeners", number), listener)


def _listener(at: strictyaml.Path, listener: Listener) -> Iterator[Finding]:
    if listener.tls == "none":
        for name in ("certificate", "key", "client_ca"):
            if getattr(listener, name) is not None:
                yield (*at, name), f"`{name}` has no effect without TLS", (
                    f"write tls: starttls or tls: implicit, or remove `{name}`")
        if listener.tls_required:
            yield (*at, "tls_required"), "`tls_required` has no effect without TLS", "write tls: starttls"
    else:
        for name in ("certificate", "key"):
            if getattr(listener, name) is None:
                yield (*at, "tls"), f"`tls: {listener.tls}` needs `{name}`", f"set `{name}` to a PEM file"
    yield from networks((*at, "trusted_peers"), listener.trusted_peers)
    if listener.protocol == "lmtp" and listener.port == SMTP_PORT:
        yield (*at, "protocol"), "LMTP must not use port 25, which is for SMTP (RFC 2033 section 5)", (
            "choose another port")
    for name in ("xforward_peers", "xclient_peers"):
        yield from networks((*at, name), getattr(listener, name))
        yield from _too_many((*at, name), getattr(listener, name))


def _too_many(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Hosts in these networks can claim to be any client, so the networks must be small: single mail servers."""
    for number, text in enumerate(given):
        try:
            network = ip_network(text)
        except ValueError:
            continue  # reported as not valid
        if network.prefixlen < (BELIEVED_PREFIX_MIN if network.version == IPV4 else BELIEVED_PREFIX_MIN_IPV6):
            yield (*at, number), f"`{text}` is too large: any host in it could claim to be any client of the bank", (
                "name only the mail servers that pass mail to the gateway, such as 127.0.0.0/8")
