"""NIST's Public Key Interoperability Test Suite (PKITS 1.0.1, certificates of 2011) out of `cryptography_vectors`.

    pkits = get_pkits()
    pkits.end_entity("ValidCertificatePathTest1")     # as the gateway reads it
    pkits.trust                                       # its one anchor, its authorities as a store would hold them

Maker: NIST, https://csrc.nist.gov/projects/pki-testing; every certificate but the end entities lies in one heap, so
that the path has to be found as well as judged.
"""

from functools import cache
from pathlib import Path

import cryptography_vectors
from asn1crypto import x509 as asn1_x509

from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError
from gateway.pki.trust import TrustSet, anchors_of

ROOT = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"


class Heap:
    """Every authority of the suite by the octets of its name: an IntermediateSource."""

    def __init__(self, ders: list[bytes]) -> None:
        """Sorted by subject; a name that two encodings spell is two names, as in a store."""
        self._by_subject: dict[bytes, list[bytes]] = {}
        for der in ders:
            subject = asn1_x509.Certificate.load(der).subject.dump()
            self._by_subject.setdefault(subject, []).append(der)

    def by_subject(self, subject: bytes) -> tuple[bytes, ...]:
        """See IntermediateSource."""
        return tuple(self._by_subject.get(subject, ()))

    def awaits_issuer(self, certificate: Certificate) -> bool:
        """See IntermediateSource. Nor to wait for."""
        del certificate
        return False

    def missing(self, certificate: Certificate) -> bool:
        """See IntermediateSource. There is nobody to ask."""
        del certificate
        return False


class Pkits:
    """The suite in memory."""

    def __init__(self) -> None:
        """Reads the certificates, not yet the lists."""
        self.authorities = {path.name.removesuffix(".crt"): path.read_bytes()
                            for path in sorted((ROOT / "certs").glob("*.crt")) if not path.name.endswith("EE.crt")}
        self.root = parse_certificate(self.authorities["TrustAnchorRootCertificate"])
        self.heap = Heap(list(self.authorities.values()))
        # Names that are equal only after RFC 5280 7.1 (capitals, spaces, string types) are found among the bank's
        # intermediates, which are few and compared so; a store finds by octets.
        self.trust = TrustSet(signers=anchors_of([self.root]), known=self.heap,
                              intermediates=tuple(self._read("NameOrderingCACert", "UIDCACert", "GoodCACert",
                                                             "RolloverfromPrintableStringtoUTF8StringCACert",
                                                             "UTF8StringCaseInsensitiveMatchCACert")))

    def _read(self, *names: str) -> list[Certificate]:
        return [parse_certificate(self.authorities[name]) for name in names]

    def der(self, name: str) -> bytes:
        """The octets of an end entity's certificate."""
        return (ROOT / "certs" / f"{name}EE.crt").read_bytes()

    def end_entity(self, name: str) -> Certificate:
        """The same, read. GatewayError(CERTIFICATE_MALFORMED) where the gateway refuses to."""
        return parse_certificate(self.der(name))

    def readable(self, name: str) -> bool:
        """Whether the gateway reads it at all."""
        try:
            self.end_entity(name)
        except GatewayError:
            return False
        return True


@cache
def get_pkits() -> Pkits:
    """The process's suite."""
    return Pkits()
