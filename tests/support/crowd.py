"""A bank with very many customers, made quickly: each with a certificate that its authority has really signed.

One certificate is issued by the gateway's own authority; the others are it with another serial number and address,
signed anew. Rows go into the database by its driver. What is wrong with a customer hangs on his number (`TROUBLE`), so
that whoever counts knows what he must find.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.db.tables.mail import micros
from gateway.authority import ca
from gateway.authority.ca import Authority, Naming
from gateway.der import build, walk
from gateway.errors import Reason
from gateway.services.statements.tally import Channel
from tests.support import pki
from tests.support.databases import open_database

_ADDRESS: Final = "c%08d@%s.example"
_DOMAINS: Final = ("mail", "post", "firm", "webs")  # of one length: the certificate is patched in place
EVERY: Final = 1_000  # customers, of whom so many are in trouble as TROUBLE names

# By number modulo EVERY: how the mail would leave, and why not.
TROUBLE: Final[dict[int, tuple[Channel, Reason | None]]] = {
    11: (Channel.REFUSED, Reason.CERTIFICATE_EXPIRED),
    222: (Channel.HELD, None),  # no certificate
    333: (Channel.REFUSED, Reason.CUSTOMER_UNKNOWN),
    444: (Channel.REFUSED, Reason.PDF_MISSING),
    555: (Channel.REFUSED, Reason.CUSTOMER_NO_ADDRESS),
    666: (Channel.REFUSED, Reason.PDF_UNREADABLE),
    777: (Channel.REFUSED, Reason.CERTIFICATE_DISTRUSTED),
    888: (Channel.REFUSED, Reason.STATEMENT_ROW),
}
ENDING: Final = 100  # its certificate ends within a day


def expected(count: int) -> tuple[Counter[Channel], Counter[Reason]]:
    """What a pre-flight of all must find."""
    channels: Counter[Channel] = Counter()
    reasons: Counter[Reason] = Counter()
    for number in range(count):
        channel, reason = TROUBLE.get(number % EVERY, (Channel.SEALED, None))
        channels[channel] += 1
        if reason is not None:
            reasons[reason] += 1
    return channels, reasons


def address(number: int) -> str:
    """Of a customer."""
    return _ADDRESS % (number, _DOMAINS[number % len(_DOMAINS)])


def name(number: int) -> str:
    """His number at the bank."""
    return f"{10_000_000 + number}"


@dataclass(frozen=True, slots=True)
class Mint:
    """Certificates of one authority (P-256) that differ in serial number, address and, where wanted, their end."""

    authority: Authority
    templates: dict[datetime, tuple[bytes, bytes, bytes]]

    def certificate(self, number: int, begins: datetime, ends: datetime) -> bytes:
        """DER."""
        if ends not in self.templates:
            key = pki.key("rsa-2048", 1).public_key()
            der = ca.issue(self.authority, Naming(address(0), emails=(address(0),)), key,
                           ca.profile_for(ca.Purpose.DECRYPT, key), begins, ends, serial=0x70 << 120 | 1)
            tbs, algorithm, _ = walk.children(der, walk.single(der))
            self.templates[ends] = (walk.whole(der, tbs), walk.whole(der, algorithm), (0x70 << 120 | 1).to_bytes(16))
        tbs, algorithm, serial = self.templates[ends]
        if number:
            tbs = tbs.replace(serial, serial[:8] + number.to_bytes(8), 1).replace(
                address(0).encode(), address(number).encode())
        assert isinstance(self.authority.key, ec.EllipticCurvePrivateKey)
        signature = self.authority.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        return build.sequence(tbs, algorithm, build.bit_string(signature))


def fill(database: Path, authority: Authority, count: int, now: datetime) -> None:
    """Customers and certificates into a fresh SQLite database."""
    open_database(database).close()
    mint = Mint(authority, {})
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous=OFF")
    try:
        for start in range(0, count, 10_000):
            _put(connection, mint, range(start, min(start + 10_000, count)), now)
            connection.commit()
    finally:
        connection.close()


def _put(connection: sqlite3.Connection, mint: Mint, numbers: range, now: datetime) -> None:
    begins, added = now - timedelta(days=900), micros(now)
    known = [number for number in numbers if number % EVERY != 333]
    reachable = [number for number in known if number % EVERY != 555]
    connection.executemany("INSERT INTO customer (number, name) VALUES (?, ?)",
                           [(name(number), f"Customer {number}") for number in known])
    connection.executemany("INSERT INTO customer_address (address, number) VALUES (?, ?)",
                           [(address(number), name(number)) for number in reachable])
    certificates, addresses = [], []
    for number in reachable:
        kind = number % EVERY
        if kind == 222:
            continue
        ends = now + (timedelta(days=-1) if kind == 11 else timedelta(hours=6) if kind == ENDING
                      else timedelta(days=30 * (1 + number % 24)))
        der = mint.certificate(number, begins, ends)
        certificates.append((
            number + 1_000, hashlib.sha256(der).hexdigest(), der, "CN=x", json.dumps([address(number)]), micros(begins),
            micros(ends), name(number), "import", "customer", 0, added, "distrusted" if kind == 777 else None))
        addresses.append((address(number), number + 1_000))
    connection.executemany(
        "INSERT INTO certificate (id, sha256, der, subject, addresses, not_before, not_after, customer, source, "
        f"key_origin, device_bound, added_at, trust) VALUES ({', '.join('?' * 13)})", certificates)
    connection.executemany("INSERT INTO certificate_address (address, certificate_id) VALUES (?, ?)", addresses)


def rows(count: int, documents: int = 1_000) -> Iterator[str]:
    """Lines of the run's CSV file, which name so many different documents."""
    yield "customer,account,document\n"
    for number in range(count):
        kind = number % EVERY
        document = {444: "missing.pdf", 666: "broken.pdf"}.get(kind, f"{number % documents}.pdf")
        more = ",one cell too much" if kind == 888 else ""
        yield f"{name(number)},DE{number:020d},{document}{more}\n"
