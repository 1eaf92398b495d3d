"""May this certificate be believed, for this purpose, at this time? (RFC 5280 6, RFC 8550 4)

The verdict is about path, validity, usage, strength and constraints; revocation is judged apart
(`pki.revocation`), for it has its own times. Steps, in the order of the code:

1. the bank's own word: distrusted certificates lose at once
2. the certificate itself: validity at t, strength of its key and its issuer's signature, usage
3. anchors: without any, nothing can be decided; the bank's own trust replaces the way to one
4. ways up along verified signatures (`pki.issuers`)
5. each way, until one holds: every authority's validity, strength, usage and mail constraints; then RFC 5280 6.1
   by pyhanko-certvalidator (path length, key usage, policies, all name constraints, critical extensions)

The library is asynchronous inside. It gets all data in hand and no fetcher, so one `send(None)` runs it to its
end; a suspension would be an error of ours.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from asn1crypto import x509 as asn1_x509
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    NotYetValidError,
    PathError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    AcceptAllAlgorithms,
    CertRevTrustPolicy,
    PKIXValidationParams,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)
from pyhanko_certvalidator.registry import CertificateRegistry
from pyhanko_certvalidator.validate import async_validate_path

from gateway.cms import algorithms
from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.model.verdict import Status
from gateway.pki.constraints import addresses_permitted
from gateway.pki.issuers import Pool, as_asn1, search
from gateway.pki.slots import Slots
from gateway.pki.trust import Anchor, Purpose, TrustSet
from gateway.pki.usage import issuer_usage_fits, leaf_usage_fits

_NO_REVOCATION = CertRevTrustPolicy(RevocationCheckingPolicy(
    ee_certificate_rule=RevocationCheckingRule.NO_CHECK, intermediate_ca_cert_rule=RevocationCheckingRule.NO_CHECK))
_POLICY_NODES_MAX = 1024  # CVE-2023-0464: policy trees of hostile paths grow exponentially

_UNDECIDED = frozenset({Reason.PATH_TRUST_ANCHOR_MISSING, Reason.PATH_ISSUER_MISSING,
                        Reason.CERTIFICATE_ALGORITHM_UNKNOWN})

_TICK = timedelta(microseconds=1)
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """`path` goes from the certificate to the anchor and is empty where none was found or needed.

    `since`, `until`: the span of t in which the verdict is the same, as far as validity goes.
    """

    status: Status
    reason: Reason | None = None
    path: tuple[Certificate, ...] = ()
    anchor: Anchor | None = None
    since: datetime = _ALWAYS[0]
    until: datetime = _ALWAYS[1]

    @property
    def valid(self) -> bool:
        """Believed."""
        return self.status is Status.VALID


_verdicts: Slots[PathVerdict] = Slots()


def validate(certificate: Certificate, at: datetime, purpose: Purpose, trust: TrustSet,
             extra: Sequence[Certificate] = (), *, stamped: bool = False, authority: bool = False) -> PathVerdict:
    """The verdict on `certificate` at the aware time `at`.

    `extra` are further certificates, such as those of the mail, that may complete the path and are believed by
    nobody. `stamped` tells that `at` comes from a time-stamp: such verdicts never serve for now. `authority`: the
    certificate is looked at as an issuer for that purpose, not as one that serves it. Never raises for what the
    certificates hold.
    """
    # What else a mail encloses is part of the question: the answer must not depend on the mails before.
    key = (certificate.sha256, purpose, authority, trust.version, algorithms.TABLE_VERSION,
           tuple(sorted({issuer.sha256 for issuer in extra})))
    known = _verdicts.get(key, at, stamped=stamped)
    if known is not None and known.since <= at <= known.until:
        return known
    verdict = _validate(certificate, at, purpose, trust, extra, authority=authority)
    if not verdict.valid:
        since, until = _steady(at, (certificate, *extra, *trust.intermediates,
                                    *(anchor.certificate for anchor in trust.anchors(purpose))))
        verdict = replace(verdict, since=since, until=until)
    _verdicts.put(key, at, verdict, stamped=stamped)
    return verdict


def _steady(at: datetime, certificates: Sequence[Certificate]) -> tuple[datetime, datetime]:
    """The span around `at` in which none of the certificates begins or ends to be valid."""
    since, until = _ALWAYS
    for certificate in certificates:
        begins, ends = certificate.not_before, certificate.not_after
        if begins <= at:
            since = max(since, begins)
        else:
            until = min(until, begins - _TICK)
        if ends < at:
            since = max(since, ends + _TICK)
        else:
            until = min(until, ends)
    return since, until


def leaf_reason(certificate: Certificate, at: datetime, purpose: Purpose, trust: TrustSet, *,
                authority: bool = False) -> Reason | None:
    """Why the certificate itself loses, whatever its path is; None if it does not (steps 1 and 2)."""
    # 1. the bank's own word
    if certificate.sha256 in trust.distrusted:
        return Reason.CERTIFICATE_DISTRUSTED
    # 2. the certificate itself
    if at < certificate.not_before:
        return Reason.CERTIFICATE_NOT_YET_VALID
    if at > certificate.not_after:
        return Reason.CERTIFICATE_EXPIRED
    weak = strength_reason(certificate, at, anchor=_is_anchor(certificate, purpose, trust))
    if weak is not None:
        return weak
    if authority:
        return None if issuer_usage_fits(certificate, purpose) else Reason.CERTIFICATE_WRONG_USAGE
    if not leaf_usage_fits(certificate, purpose, eku_required=trust.eku_required):
        return Reason.CERTIFICATE_WRONG_USAGE
    return None


def strength_reason(certificate: Certificate, at: datetime, *, anchor: bool = False) -> Reason | None:
    """By the one table of algorithms; an anchor's own signature is looked at by nobody and may be old."""
    weak = algorithms.allowed("key", certificate.key_algorithm, at)
    if weak is None and not anchor:
        weak = algorithms.allowed("certificate", certificate.signature_algorithm, at)
    return weak


def _is_anchor(certificate: Certificate, purpose: Purpose, trust: TrustSet) -> bool:
    return any(anchor.certificate == certificate for anchor in trust.anchors(purpose))


def verdict_of(reason: Reason) -> PathVerdict:
    """A failed verdict: invalid, or indeterminate where more knowledge could still help."""
    return PathVerdict(Status.INDETERMINATE if reason in _UNDECIDED else Status.INVALID, reason)


def _validate(certificate: Certificate, at: datetime, purpose: Purpose, trust: TrustSet,
              extra: Sequence[Certificate], *, authority: bool) -> PathVerdict:
    reason = leaf_reason(certificate, at, purpose, trust, authority=authority)
    if reason is not None:
        return verdict_of(reason)
    # 3. anchors
    if certificate.sha256 in trust.trusted:
        return PathVerdict(Status.VALID, path=(certificate,), since=certificate.not_before,
                           until=certificate.not_after)
    anchors = trust.anchors(purpose)
    for anchor in anchors:
        if anchor.certificate == certificate:
            return PathVerdict(Status.VALID, path=(certificate,), anchor=anchor, since=certificate.not_before,
                               until=certificate.not_after)
    if not anchors:
        return verdict_of(Reason.PATH_TRUST_ANCHOR_MISSING)
    # 4. ways up
    found = search(certificate, anchors, Pool(trust.intermediates, extra, trust.known))
    # 5. each way
    failure: Reason | None = None
    for path, anchor in found.ways:
        reason = _way_reason(path, at, purpose, trust)
        if reason is None:
            return PathVerdict(Status.VALID, None, path, anchor, since=max(c.not_before for c in path),
                               until=min(c.not_after for c in path))
        failure = failure or reason
    if failure is not None:
        return verdict_of(failure)
    if found.unknown_root:
        return verdict_of(Reason.PATH_UNTRUSTED_ROOT)
    if found.bad_signature:
        return verdict_of(Reason.PATH_SIGNATURE)
    return verdict_of(Reason.PATH_ISSUER_MISSING)


def _way_reason(path: tuple[Certificate, ...], at: datetime, purpose: Purpose, trust: TrustSet) -> Reason | None:
    issuers = path[1:]
    for issuer in issuers:
        if issuer.sha256 in trust.distrusted:
            return Reason.CERTIFICATE_DISTRUSTED
        if not issuer.not_before <= at <= issuer.not_after:
            return Reason.PATH_EXPIRED
        weak = strength_reason(issuer, at, anchor=issuer is path[-1])
        if weak is not None:
            return weak
        if not issuer_usage_fits(issuer, purpose):
            return Reason.PATH_CONSTRAINT
    try:
        for position, certificate in enumerate(path[:-1]):
            if not addresses_permitted(certificate, path[position + 1:]):
                return Reason.PATH_CONSTRAINT
        return _rfc5280(path, at)
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, RecursionError,
            NotImplementedError):
        # The library below answers certificates that it cannot process in all of these ways.
        return Reason.PATH_CONSTRAINT


def _rfc5280(path: tuple[Certificate, ...], at: datetime) -> Reason | None:
    chain = [as_asn1(certificate) for certificate in path]
    anchor = CertTrustAnchor(chain[-1])
    context = ValidationContext(
        trust_roots=[anchor], moment=at, allow_fetching=False, revinfo_policy=_NO_REVOCATION,
        # Strength has been judged by the house's own table, once for everything.
        algorithm_usage_policy=AcceptAllAlgorithms(), certificate_registry=CertificateRegistry.build(chain[:-1]))
    parameters = PKIXValidationParams(max_policy_graph_nodes=_POLICY_NODES_MAX)
    try:
        _run(async_validate_path(context, ValidationPath(anchor, chain[-2:0:-1], chain[0]), parameters))
    except (ExpiredError, NotYetValidError):
        return Reason.PATH_EXPIRED
    except DisallowedAlgorithmError:
        return Reason.CERTIFICATE_WEAK_ALGORITHM
    except (ValidationError, PathError):
        return Reason.PATH_CONSTRAINT
    return None


def _run(coroutine: Coroutine[Any, Any, asn1_x509.Certificate]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    finally:
        coroutine.close()
    raise GatewayError(Reason.INTERNAL, "path validation wanted to wait for something")
