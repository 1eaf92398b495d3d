"""Certificates out of DNS: SMIMEA records (RFC 8162), believed only where DNSSEC proves them.

Who validates is the resolver on loopback (unbound, say); its word is the AD bit (RFC 4035 3.2.3, RFC 6840 5.7), which
is worth nothing over a network that others reach. What its answers mean here:

    AD, certificates          rows
    AD, no such name or data  (): the absence itself is signed
    SERVFAIL, other codes     Unavailable: this is how a validating resolver reports forged or expired signatures
    no AD                     nothing in it is believed, neither a certificate nor an absence. Where the domain is
                              provably unsigned there can be no SMIMEA at all (RFC 8162 demands DNSSEC), and it is ():
                              most domains are, and their mail must not wait permanently. But a resolver
                              that does not validate gives the same answer, for every domain. So it has to show that
                              it validates the very chain that leads there: its answer for the DS of the domain, or of
                              one above it, must come with AD. A validating resolver that then still says no AD says
                              "unsigned"; an attacker who strips signatures below a signed parent gets SERVFAIL.
                              A proven DS of the domain itself contradicts "unsigned" (val-permissive-mode of unbound
                              lets forgeries pass that way): Unavailable. No AD up to the root: Unavailable.
                              So only a proven absence is Absent.

A fault of one domain (forged, too slow, malformed) is reported as `Unanswered`: others are answered all the same.

The local part is asked as written, because names hash case-sensitively (RFC 8162 3). If nothing is found, the lower
case is asked: hardly any mail system distinguishes `Anna@` and `anna@`, a publisher cannot foresee how people write an
address, and `pki.select` ignores case too. Both must be proven absent before there is nothing.

Every record that holds a whole certificate (selector 0, matching type 0) is a candidate, with any usage (0 to 3):
usages say how far DNS vouches for it, and here DNS only finds; a path to a root for recipients, or the bank's own word,
is asked for as of any other certificate. Records with a key alone or a hash hold nothing to encrypt to, and unknown
usages have no meaning: they are left out.
"""

import socket
import time
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rdtypes.tlsabase
import dns.ttl

from gateway.adapters.directories.rows import Unanswered, rows_of, unavailable
from gateway.errors import GatewayError, Reason
from gateway.model.address import domain_of
from gateway.model.lookup import CertificateRow
from gateway.model.smimea import EXACT, FULL_CERTIFICATE, dns_name, owner_names
from gateway.settings import SmimeaSourceSettings
from gateway.settings.base import on_loopback

_USAGES: Final = range(4)  # RFC 6698 2.1.1
_SHARE: Final = 0.95  # of the deadline: lateness is reported here, where the cause is known
_TRIES: Final = 3  # by UDP, within the deadline
_OF_THE_OWNER: Final = frozenset({dns.rcode.SERVFAIL, dns.rcode.YXDOMAIN})  # a DNAME makes a name too long (RFC 6672)
_UDP_OCTETS: Final = 1232  # what passes everywhere unfragmented; more comes by TCP


class SmimeaSource:
    """See ports.certificates.CertificateSource. Holds nothing open; safe on many threads."""

    def __init__(self, settings: SmimeaSourceSettings) -> None:
        """CONFIG_INVALID if the resolver is not on loopback."""
        if not on_loopback(settings.resolver):
            raise GatewayError(
                Reason.CONFIG_INVALID, f"source {settings.name}: the resolver {settings.resolver} is not on loopback")
        self.name = settings.name
        self._settings = settings

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """See CertificateSource; within `deadline_s`."""
        return self.timed_rows(address)[0]

    def timed_rows(self, address: str) -> tuple[tuple[CertificateRow, ...], float]:
        """See TimedSource: the least TTL of the answers that were needed, of an absence by RFC 2308 5."""
        ends_at = time.monotonic() + self._settings.deadline_s * _SHARE
        ttl_s = float(dns.ttl.MAX_TTL)
        for name in owner_names(address):
            answer = self._ask(name, dns.rdatatype.SMIMEA, ends_at)
            if not answer.flags & dns.flags.AD:
                return (), min(ttl_s, self._unsigned(domain_of(address), ends_at))
            found = _records(answer)
            if found is None:
                raise Unanswered(self.name, f"an answer for {name} that goes round in circles")
            ttl_s = min(ttl_s, _ttl_s(answer))
            if found:
                return rows_of((r.cert for r in found if _whole(r)), self.name), ttl_s
        return (), ttl_s

    def close(self) -> None:
        """Nothing is kept."""

    def _unsigned(self, domain: str, ends_at: float) -> float:
        """The TTL in seconds of the resolver's proof that it would have known better; see the module."""
        labels = (dns_name(domain) or "").split(".")
        for first in range(len(labels)):
            answer = self._ask(".".join(labels[first:]) + ".", dns.rdatatype.DS, ends_at)
            if not answer.flags & dns.flags.AD:
                continue
            if first == 0 and any(rrset.rdtype == dns.rdatatype.DS for rrset in answer.answer):
                raise Unanswered(self.name, f"{domain} is signed, and the resolver passes on what is not")
            if _records(answer) is None:
                raise Unanswered(self.name, f"an answer for {domain} that goes round in circles")
            return _ttl_s(answer)
        raise unavailable(self.name, f"the resolver vouches for nothing on the way to {domain}: does it validate?")

    def _ask(self, name: str, kind: dns.rdatatype.RdataType, ends_at: float) -> dns.message.QueryMessage:
        """The answer, NOERROR or NXDOMAIN; everything else is Unavailable."""
        question = dns.message.make_query(
            dns.name.from_text(name), kind, use_edns=0, want_dnssec=True, payload=_UDP_OCTETS)
        question.flags |= dns.flags.AD
        try:
            answer = self._exchange(question, ends_at)
        except dns.exception.Timeout:
            raise Unanswered(self.name, f"{name}: no answer within {self._settings.deadline_s} s") from None
        except dns.exception.DNSException as error:  # resolvers pass on records as their owner wrote them
            raise Unanswered(self.name, f"{name}: {type(error).__name__} {error}") from None
        except (OSError, EOFError, ValueError) as error:
            raise unavailable(self.name, f"{name}: {type(error).__name__} {error}") from None
        if not isinstance(answer, dns.message.QueryMessage):
            raise unavailable(self.name, f"{name}: no answer to a question")
        if answer.rcode() in _OF_THE_OWNER:
            raise Unanswered(self.name, f"{name}: the resolver says {dns.rcode.to_text(answer.rcode())}")
        if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            raise unavailable(self.name, f"{name}: the resolver says {dns.rcode.to_text(answer.rcode())}")
        return answer


    def _exchange(self, question: dns.message.Message, ends_at: float) -> dns.message.Message:
        """By UDP, repeated now and then, because a busy resolver drops questions; by TCP what does not fit.

        The socket is connected: only the resolver's answers reach it, and that it is dead is known at once.
        """
        where, port = self._settings.resolver, self._settings.port
        family = socket.AF_INET6 if ":" in where else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.connect((where, port))
                while True:
                    wait_s = min(_left(ends_at), self._settings.deadline_s / _TRIES)
                    try:
                        return dns.query.udp(question, where, wait_s, port, sock=channel, raise_on_truncation=True)
                    except dns.exception.Timeout:
                        _left(ends_at)
        except dns.message.Truncated:
            return dns.query.tcp(question, where, _left(ends_at), port)


def _left(ends_at: float) -> float:
    """Seconds; Timeout if there are none."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise dns.exception.Timeout
    return left


def _records(answer: dns.message.QueryMessage) -> list[dns.rdtypes.tlsabase.TLSABase] | None:
    """The records at the end of the aliases that lead to them; None if these are too many."""
    try:
        found = answer.resolve_chaining().answer
    except (dns.exception.DNSException, ValueError):
        return None
    return [record for record in found or () if isinstance(record, dns.rdtypes.tlsabase.TLSABase)]


def _ttl_s(answer: dns.message.QueryMessage) -> float:
    """The least TTL in the chain to the answer. Of an absence that of its SOA (RFC 2308 5); without one it is 0."""
    chain = answer.resolve_chaining()
    proven = chain.answer is not None or any(rrset.rdtype == dns.rdatatype.SOA for rrset in answer.authority)
    return float(chain.minimum_ttl) if proven else 0.0


def _whole(record: dns.rdtypes.tlsabase.TLSABase) -> bool:
    return record.usage in _USAGES and record.selector == FULL_CERTIFICATE and record.mtype == EXACT
