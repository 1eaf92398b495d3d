"""Who the client is: by network, TLS certificate or login; and which addresses it may use."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import TypeVar

from gateway.errors import GatewayError, Reason
from gateway.model.mailbox import permitted_from
from gateway.settings import Client

K = TypeVar("K")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PEERS_REMEMBERED = 4096


class Clients:
    """The clients of the settings, prepared for look-up.

    GatewayError(CONFIG_INVALID) if a network, certificate or login belongs to two of them: it would be left to
    chance whose addresses may be used.
    """

    def __init__(self, clients: Iterable[Client]) -> None:
        self._by_certificate: dict[str, Client] = {}
        self._by_login: dict[str, Client] = {}
        networks: dict[Network, Client] = {}
        names: set[str] = set()
        for client in clients:
            if client.name in names:
                raise GatewayError(Reason.CONFIG_INVALID, f"clients: two are named {client.name}")
            names.add(client.name)
            for text in client.networks:
                _put(networks, _network(text, client.name), client)
            for fingerprint in client.tls_certificates:
                _put(self._by_certificate, _fingerprint(fingerprint, client.name), client)
            for login in client.logins:
                _put(self._by_login, login, client)
        # The narrowest network wins.
        self._networks = sorted(networks.items(), key=lambda item: item[0].prefixlen, reverse=True)
        self._of_peer = lru_cache(_PEERS_REMEMBERED)(self._find_peer)

    @property
    def has_logins(self) -> bool:
        """Whether anybody may log in at all."""
        return bool(self._by_login)

    def by_peer(self, peer: str) -> Client | None:
        """The client whose network contains this IP address (text, '' if there is none)."""
        return self._of_peer(peer)

    def by_certificate(self, der: bytes | None) -> Client | None:
        """The client with this TLS certificate (DER), whose chain the TLS layer has verified."""
        return self._by_certificate.get(sha256(der).hexdigest()) if der else None

    def by_login(self, login: str) -> Client | None:
        """The client that this user name belongs to. Whether the password fits is asked elsewhere."""
        return self._by_login.get(login)

    def _find_peer(self, peer: str) -> Client | None:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return next((client for network, client in self._networks
                     if network.version == address.version and address in network), None)


@lru_cache(_PEERS_REMEMBERED)
def among(peer: str, networks: tuple[str, ...]) -> bool:
    """Whether an address (text) is in one of these networks; an IPv4 one in an IPv6 one counts as what it is."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in map(ipaddress.ip_network, networks)
               if network.version == address.version)


def speaking_freely(clients: Iterable[Client]) -> tuple[Client, ...]:
    """The same clients with any sender: in `mode: observe` what they may not use is recorded, and not refused."""
    return tuple(client.model_copy(update={"from_addresses": ("*",)}) for client in clients)


def may_use(client: Client, reverse_path: str) -> bool:
    """Whether the client may send with this reverse-path. The null path is everybody's: bounces have it."""
    return not reverse_path or permitted_from(client.from_addresses, reverse_path)


def _put(table: dict[K, Client], key: K, client: Client) -> None:
    if key in table:
        raise GatewayError(Reason.CONFIG_INVALID, f"clients: {key} belongs to {table[key].name} and to {client.name}")
    table[key] = client


def _network(text: str, name: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise GatewayError(Reason.CONFIG_INVALID, f"clients: {name}: {error}") from None


def _fingerprint(text: str, name: str) -> str:
    plain = text.replace(":", "").lower()
    if len(plain) != sha256().digest_size * 2 or not set(plain) <= set("0123456789abcdef"):
        raise GatewayError(Reason.CONFIG_INVALID, f"clients: {name}: {text} is not a SHA-256 fingerprint")
    return plain
