"""Finds the machine that a URL leads to, and whether the gateway may connect to it.

A stranger's certificate can name any URL: without this check it would make the gateway connect
to machines inside the bank (server-side request forgery). The name is resolved once, every address that it has must be
permitted, and the connection goes to that very address: a name that answers otherwise a moment later (DNS rebinding)
gains nothing.

RFC 3986 (what of it a URL may use here), RFC 6890 (special-purpose addresses; by `ipaddress`), RFC 6052 and 3056
(IPv4 addresses inside IPv6 ones).
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from gateway import threads
from gateway.errors import GatewayError, Reason

URL_LENGTH_MAX = 2048  # octets; of real distribution points the longest seen are LDAP URLs of some 300
_PORTS = {"http": 80, "https": 443}
_OTHERS_BELOW = 1024  # mail, files, printers: what a stranger may want to be knocked at
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1: the last 32 bits are an IPv4 address

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in parts. `host` in lower case, without brackets; `path` begins with `/` and has the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a connection serves."""
        return self.scheme, self.host, self.port

    @property
    def host_field(self) -> str:
        """The Host header field (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The URL again, without fragment."""
        return f"{self.scheme}://{self.host_field}{self.path}"


def read_url(text: str, schemes: frozenset[str]) -> Target:
    """Takes the URL apart. GatewayError(FETCH_REFUSED): another scheme, credentials, odd characters, too long."""
    if len(text) > URL_LENGTH_MAX:
        raise GatewayError(Reason.FETCH_REFUSED, f"a URL of more than {URL_LENGTH_MAX} characters")
    if not text.isascii() or not text.isprintable() or set(text) & set(' "<>\\^`{|}'):
        raise GatewayError(Reason.FETCH_REFUSED, "a URL with characters that no URL has")
    try:
        url = parse_url(text)
    except (LocationParseError, ValueError) as error:
        raise GatewayError(Reason.FETCH_REFUSED, f"no URL: {text}") from error
    if url.scheme not in schemes or url.scheme not in _PORTS:
        raise GatewayError(Reason.FETCH_REFUSED, f"URLs of scheme {url.scheme} are not fetched")
    if url.auth is not None:
        raise GatewayError(Reason.FETCH_REFUSED, "a URL with credentials in it")
    if not url.host or url.port == 0:
        raise GatewayError(Reason.FETCH_REFUSED, f"a URL without a host: {text}")
    return Target(url.scheme, url.host.strip("[]").lower(), url.port or _PORTS[url.scheme], _path(url))


def _path(url: Url) -> str:
    path = url.path or "/"
    return path if url.query is None else f"{path}?{url.query}"


def redirected(target: Target, location: str) -> str:
    """The URL that a Location field means (RFC 3986 5.2, without `..`: servers that redirect write whole paths)."""
    if "://" in location.partition("?")[0]:
        return location
    if location.startswith("//"):
        return f"{target.scheme}:{location}"
    origin = f"{target.scheme}://{target.host_field}"
    if location.startswith("/"):
        return origin + location
    path = target.path.partition("?")[0]
    return f"{origin}{path.rpartition('/')[0]}/{location}"


class AddressBook:
    """Resolves and permits. `public`: whether public addresses may be asked; `networks`: others that may.

    `any_port` False: public ones not at ports below 1024 but 80 and 443, where other services than HTTP listen.
    """

    def __init__(self, networks: Sequence[str], *, public: bool, waiting_max: int, any_port: bool = True,
                 resolver: Resolver | None = None) -> None:
        self._networks = tuple(ip_network(network) for network in networks)
        self._public = public
        self._any_port = any_port
        self._resolver = resolver or _system
        self._waiting = threading.BoundedSemaphore(waiting_max)

    def addresses(self, target: Target, end: float) -> tuple[str, ...]:
        """All addresses of the target's host, in the resolver's order; `end` in seconds of time.monotonic().

        GatewayError(FETCH_UNAVAILABLE, retry) if the name has none (now), FETCH_REFUSED if one is not permitted.
        """
        found = self._resolve(target, end)
        if not found:
            raise GatewayError(Reason.FETCH_UNAVAILABLE, f"{target.host} has no address", retry=True)
        for text in found:
            if not self.permitted(text, target.port):
                where = f"{target.host} has the address {text}, which the settings do not permit"
                raise GatewayError(Reason.FETCH_REFUSED, f"{where} at port {target.port}")
        return tuple(found)

    def permitted(self, text: str, port: int = 443) -> bool:
        """Whether this address may be spoken with, at this port."""
        try:
            given = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        address = _inner(given)
        if any(address.version == network.version and address in network for network in self._networks):
            return True
        if not self._any_port and port < _OTHERS_BELOW and port not in _PORTS.values():
            return False
        return self._public and address.is_global and not address.is_multicast and not address.is_reserved

    def _resolve(self, target: Target, end: float) -> Sequence[str]:
        """A name server's silence does not outlast `end`; at most `waiting_max` threads wait for one."""
        try:
            return (str(ip_address(target.host)),)
        except ValueError:
            pass
        found: list[Sequence[str]] = []
        if not self._waiting.acquire(timeout=max(0.0, end - time.monotonic())):
            raise GatewayError(Reason.FETCH_UNAVAILABLE, "the name servers do not answer", retry=True)

        def ask() -> None:
            try:
                found.append(self._resolver(target.host, target.port))
            except (OSError, UnicodeError):
                found.append(())
            finally:
                self._waiting.release()

        try:
            asking = threads.start(ask, name="resolver")
        except GatewayError as trouble:
            self._waiting.release()
            raise GatewayError(Reason.FETCH_UNAVAILABLE, trouble.detail, retry=True) from None
        asking.join(max(0.0, end - time.monotonic()))
        if not found:
            raise GatewayError(Reason.FETCH_UNAVAILABLE, f"no answer from the name servers for {target.host}",
                               retry=True)
        return found[0]


def _system(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says, each address once."""
    return tuple(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, or the address itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
