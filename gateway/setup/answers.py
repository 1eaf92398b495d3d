"""What `sealgate init` needs to know, checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, Literal

from gateway import languages
from gateway.errors import GatewayError, Reason
from gateway.model.address import is_mailbox

INTERNAL: Final = "internal"  # time-stamps of the gateway itself
NEW: Final = "new"  # keys that are made now
LOCAL: Final = "127.0.0.1"
CLIENT: Final = "staff"  # the name that the shipped policies have for it
_OUTBOUND, _INBOUND = 10026, 10028  # Postfix's doors back, as conf/postfix/after-queue.master.cf opens them
_DOMAIN: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")
_NAME_CHARACTERS_MAX: Final = 64  # of a common name (RFC 5280 A.1)


@dataclass(frozen=True, slots=True)
class Answers:
    """`next_hop`: HOST or HOST:PORT. `keys`: `new`, or a PKCS#12 or PEM file. `time_stamps`: `internal`, or a URL.

    `clock_check`: of the embedded time-stamping authority. `test_customer`: an address that gets a test certificate.
    """

    name: str
    domains: tuple[str, ...]
    hostname: str
    next_hop: str
    networks: tuple[str, ...]
    addresses: tuple[str, ...]
    keys: str = NEW
    time_stamps: str = INTERNAL
    passphrase: bytes | None = None
    mode: Literal["observe", "live"] = "observe"
    language: str = "en"
    time_zone: str = "UTC"
    clock_check: Literal["kernel", "none"] = "kernel"
    test_customer: str = ""

    def check(self) -> None:
        """GatewayError USAGE with all that is wrong."""
        if problems := tuple(self._problems()):
            raise GatewayError(Reason.USAGE, "\n".join(problems))

    def _problems(self) -> Iterator[str]:
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > _NAME_CHARACTERS_MAX:
            yield f"`{self.name}` is not usable as the bank's name: write 1 to {_NAME_CHARACTERS_MAX} letters"
        if self.language not in languages.installed():
            yield f"there are no texts in the language `{self.language}`: use one of {', '.join(languages.installed())}"
        if not self.domains:
            yield "no mail domain is given: write one such as bank.example"
        for domain in (*self.domains, self.hostname):
            if not _DOMAIN.fullmatch(domain):
                yield f"`{domain}` is not a domain: write one such as bank.example, in lower case"
        yield from self._of_the_client()
        host, colon, port = self.next_hop.rpartition(":") if self.next_hop.count(":") == 1 else (self.next_hop, "", "")
        if not _is_host(host) or (colon and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)):
            yield f"`{self.next_hop}` is not a mail server: write HOST or HOST:PORT, such as mail.bank.example:25"
        if self.keys != NEW and not Path(self.keys).is_file():
            yield f"`{self.keys}`: there is no such file. Give a PKCS#12 or PEM file, or `{NEW}`"
        if self.time_stamps != INTERNAL and not self.time_stamps.startswith(("https://", "http://")):
            yield f"`{self.time_stamps}` is not a URL: write one such as https://tsa.example/tsr, or `{INTERNAL}`"
        if self.test_customer and not (is_mailbox(self.test_customer) and self.test_customer.isascii()):
            yield f"`{self.test_customer}` is not a mail address"

    def _of_the_client(self) -> Iterator[str]:
        for network in self.networks:
            try:
                ip_network(network)
            except ValueError as error:
                yield f"`{network}` is not a network ({error}): write one such as 10.1.2.0/24"
        if not self.networks:
            yield "no network of the first client is given: write one such as 10.1.2.0/24"
        if not self.addresses:
            yield "no From address of the first client is given: write one such as service@bank.example"
        for address in self.addresses:
            if not (is_mailbox(address) and address.isascii()) or "*" in address:
                yield f"`{address}` is not a mail address: write one such as service@bank.example"
            elif address.rpartition("@")[2].lower() not in self.domains:
                yield f"`{address}` is not in a domain of the bank ({', '.join(self.domains)})"

    @property
    def is_local(self) -> bool:
        """Whether Postfix on this machine hands mail over and takes it back."""
        return self.next_hop.partition(":")[0] in {LOCAL, "localhost"}

    @property
    def hops(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Host and port, outbound and inbound."""
        host, colon, port = self.next_hop.rpartition(":") if self.next_hop.count(":") == 1 else (self.next_hop, "", "")
        if self.is_local:
            host = LOCAL
        if colon:
            return (host, int(port)), (host, int(port))
        return ((host, _OUTBOUND), (host, _INBOUND)) if self.is_local else ((host, 25), (host, 25))


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return text == "localhost" or _DOMAIN.fullmatch(text.lower()) is not None
    return True
