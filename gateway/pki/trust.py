"""Whom the bank believes, for which purpose: anchors, intermediates, and its own word on single certificates.

Anchors of one purpose never serve another: a root for mail signatures does not make a time-stamping service
believable, nor the other way round (RFC 3161 2.1, design: time first).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Final, Literal

from gateway.cms.certificate import Certificate
from gateway.ports.certificates import IntermediateSource

_SOURCES = count(1)  # what a store knows is part of no name: two sets with stores are never the same set

Purpose = Literal["signer", "recipient", "stamper"]
STATED: Final = frozenset({"mailbox", "organisation", "sponsor", "individual", "qualified"})  # see `pki.level`
StamperTrust = Literal["internal", "external", "qualified"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A certificate that is trusted without a path. `stamper`: the kind of time-stamping service below it."""

    certificate: Certificate
    stamper: StamperTrust = "internal"


@dataclass(frozen=True, slots=True)
class Mark:
    """Which words of certificates below one root count (see `pki.level`). Without a mark none do.

    `levels`: levels that it may state by the CA/B Forum's S/MIME policies, 'qualified' by QcCompliance.
    `policies`: the authority's own policy OIDs (dotted) and what each means. `hardware_policies`: OIDs that say the
    key lives in hardware. `qcsscd`: whether its statement that it does is believed (ETSI EN 319 412-5 4.2.2).
    """

    levels: frozenset[str] = frozenset()
    policies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    hardware_policies: frozenset[str] = frozenset()
    qcsscd: bool = False


@dataclass(frozen=True)
class TrustSet:
    """Everything that is believed, and what helps to get there.

    `signers`, `recipients`, `stampers`: anchors by purpose; empty: nothing can be decided for that purpose.
    `intermediates` complete paths and are no anchors; `known` is asked for more of them by subject.
    `trusted`, `distrusted`: SHA-256 fingerprints (hex) of single certificates on which the bank has spoken; they
    override the path in both directions, never validity, usage, strength or revocation (field rule 2.2.4).
    `marks`: SHA-256 (hex) of a root to its mark. `ocsp_responders`: believed about revocation beyond those whom
    issuers delegate.
    `eku_required`: whether a mail certificate without extendedKeyUsage is refused. Unset, it is accepted, as
    RFC 8550 4.4.4 says and as many internal CAs need.
    """

    signers: tuple[Anchor, ...] = ()
    recipients: tuple[Anchor, ...] = ()
    stampers: tuple[Anchor, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    known: IntermediateSource | None = None
    trusted: frozenset[str] = frozenset()
    distrusted: frozenset[str] = frozenset()
    eku_required: bool = False
    marks: Mapping[str, Mark] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    ocsp_responders: tuple[Certificate, ...] = ()
    version: str = field(init=False, default="", compare=False)

    def __post_init__(self) -> None:
        """`version` names this very set: what was judged under another one does not count under this one."""
        digest = hashlib.sha256()
        for name, anchors in (("s", self.signers), ("r", self.recipients), ("t", self.stampers)):
            for anchor in anchors:
                digest.update(f"{name}{anchor.stamper}{anchor.certificate.sha256};".encode())
        for certificate in self.intermediates:
            digest.update(f"i{certificate.sha256};".encode())
        for name, fingerprints in (("+", self.trusted), ("-", self.distrusted)):
            for fingerprint in sorted(fingerprints):
                digest.update(f"{name}{fingerprint};".encode())
        for root, mark in sorted(self.marks.items()):
            digest.update(repr((root, sorted(mark.levels), sorted(mark.policies.items()),
                                sorted(mark.hardware_policies), mark.qcsscd)).encode())
        for responder in self.ocsp_responders:
            digest.update(f"o{responder.sha256};".encode())
        digest.update(f"eku={self.eku_required};known={next(_SOURCES) if self.known else 0}".encode())
        object.__setattr__(self, "version", digest.hexdigest())

    def anchors(self, purpose: Purpose) -> tuple[Anchor, ...]:
        """The anchors for this purpose alone."""
        match purpose:
            case "signer":
                return self.signers
            case "recipient":
                return self.recipients
            case "stamper":
                return self.stampers


def anchors_of(certificates: Iterable[Certificate], stamper: StamperTrust = "internal") -> tuple[Anchor, ...]:
    """Certificates as anchors, each once, in order."""
    return tuple(Anchor(certificate, stamper) for certificate in dict.fromkeys(certificates))


def same_for_mail(certificates: Iterable[Certificate], intermediates: Iterable[Certificate] = (), *,
                  stampers: tuple[Anchor, ...] | None = None) -> TrustSet:
    """One set of roots for signers and recipients; for time-stamps too where `stampers` is None (`inspect --trust`).

    All of them are marked: who names a root by hand wants to see the levels of certificates below it.
    """
    anchors = anchors_of(certificates)
    return TrustSet(signers=anchors, recipients=anchors,
                    stampers=anchors_of((a.certificate for a in anchors), "external") if stampers is None else stampers,
                    intermediates=tuple(dict.fromkeys(intermediates)),
                    marks={anchor.certificate.sha256: Mark(STATED) for anchor in anchors})
