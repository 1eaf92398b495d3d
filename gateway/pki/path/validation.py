"""May this certificate be believed, for this purpose, at this time? (RFC 5280 6, RFC 8550 4)

The verdict is about path, validity, usage, strength and constraints; revocation is judged apart
(`pki.revocation.verdict`), for it has its own times. Steps, in the order of the code:

1. the bank's own word: distrusted certificates lose at once
2. the certificate itself: validity at t, strength of its key and its issuer's signature, usage
3. anchors: without any, nothing can be decided; the bank's own trust replaces the way to one
4. ways up along verified signatures (`pki.path.issuers`)
5. each way, until one holds: every authority's validity, strength, usage and mail constraints; then RFC 5280 6.1
   by the book (`pki.path.rfc5280`)
6. where none holds and an issuer is missing, the source of issuers may fetch it: again from 4
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.cms import algorithms
from gateway.cms.certificate import Certificate
from gateway.errors import Reason
from gateway.model.verdict import Status
from gateway.pki.path.cache import VerdictCache
from gateway.pki.path.constraints import addresses_permitted
from gateway.pki.path.issuers import Pool, Search, search
from gateway.pki.path.rfc5280 import ANY, PolicyInputs, walk
from gateway.pki.path.usage import issuer_usage_fits, leaf_usage_fits
from gateway.pki.trust import Anchor, Purpose, TrustSet

MISSING_ASKED_MAX: Final = 2  # issuers that one verdict may have fetched: a hierarchy lacks one, rarely two

_UNDECIDED = frozenset({Reason.PATH_TRUST_ANCHOR_MISSING, Reason.PATH_ISSUER_MISSING,
                        Reason.CERTIFICATE_ALGORITHM_UNKNOWN})

_TICK = timedelta(microseconds=1)
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """`path` goes from the certificate to the anchor and is empty where none was found or needed.

    `policies`: certificate policies (dotted OIDs) that hold all along the path, in the anchor's words.
    `end`: where no way led to an anchor, the unknown root, or the certificate whose issuer is missing.
    `since`, `until`: the span of t in which the verdict is the same, as far as validity goes.
    """

    status: Status
    reason: Reason | None = None
    path: tuple[Certificate, ...] = ()
    anchor: Anchor | None = None
    policies: frozenset[str] = frozenset()
    end: Certificate | None = None
    since: datetime = _ALWAYS[0]
    until: datetime = _ALWAYS[1]

    @property
    def valid(self) -> bool:
        """Believed."""
        return self.status is Status.VALID


@dataclass(frozen=True, slots=True)
class _Question:
    """The arguments of `validate`."""

    certificate: Certificate
    at: datetime
    purpose: Purpose
    trust: TrustSet
    extra: Sequence[Certificate]
    authority: bool
    policies: PolicyInputs
    any_strength: bool


_verdicts: VerdictCache[PathVerdict] = VerdictCache()


def validate(certificate: Certificate, at: datetime, purpose: Purpose, trust: TrustSet,
             extra: Sequence[Certificate] = (), *, stamped: bool = False, authority: bool = False,
             policies: PolicyInputs = ANY, danger_any_strength_for_test_vectors: bool = False) -> PathVerdict:
    """The verdict on `certificate` at the aware time `at`.

    `extra` are further certificates, such as those of the mail, that may complete the path and are no anchors.
    `stamped`: `at` comes from a time-stamp: such verdicts never serve for now. `authority`: the
    certificate is looked at as an issuer for that purpose, not as one that serves it. `policies`: what is wanted of
    certificate policies. Never raises for what the certificates hold. The last parameter is for tests alone: old
    vectors are signed with algorithms that the table refuses.
    """
    # What else a mail encloses is part of the question: the answer must not depend on the mails before.
    key = (certificate.sha256, purpose, authority, trust.version, algorithms.TABLE_VERSION,
           tuple(sorted({issuer.sha256 for issuer in extra})), policies, danger_any_strength_for_test_vectors)
    known = _verdicts.get(key, at, stamped=stamped)
    if known is not None and known.since <= at <= known.until:
        return known
    question = _Question(certificate, at, purpose, trust, extra, authority, policies,
                         danger_any_strength_for_test_vectors)
    verdict = _validate(question)
    if not verdict.valid:
        since, until = steady(at, (certificate, *extra, *trust.intermediates,
                                   *(anchor.certificate for anchor in trust.anchors(purpose))))
        verdict = replace(verdict, since=since, until=until)
    if verdict.reason is not Reason.PATH_ISSUER_MISSING or trust.known is None:  # it may be known the next moment
        _verdicts.put(key, at, verdict, stamped=stamped)
    return verdict


def steady(at: datetime, certificates: Sequence[Certificate]) -> tuple[datetime, datetime]:
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
                authority: bool = False, any_strength: bool = False) -> Reason | None:
    """Why the certificate itself is rejected with any path; None if it is not (steps 1 and 2)."""
    # 1. the bank's own word
    if certificate.sha256 in trust.distrusted:
        return Reason.CERTIFICATE_DISTRUSTED
    # 2. the certificate itself
    if at < certificate.not_before:
        return Reason.CERTIFICATE_NOT_YET_VALID
    if at > certificate.not_after:
        return Reason.CERTIFICATE_EXPIRED
    weak = strength_reason(certificate, at, anchor=_is_anchor(certificate, purpose, trust))
    if weak is not None and not any_strength:
        return weak
    if authority:
        return None if issuer_usage_fits(certificate, purpose) else Reason.CERTIFICATE_WRONG_USAGE
    if not leaf_usage_fits(certificate, purpose, eku_required=trust.eku_required):
        return Reason.CERTIFICATE_WRONG_USAGE
    return None


def strength_reason(certificate: Certificate, at: datetime, *, anchor: bool = False) -> Reason | None:
    """Judges by the one table of algorithms; an anchor's own signature is not verified and may be old."""
    weak = algorithms.allowed("key", certificate.key_algorithm, at)
    if weak is None and not anchor:
        weak = algorithms.allowed("certificate", certificate.signature_algorithm, at)
    return weak


def _is_anchor(certificate: Certificate, purpose: Purpose, trust: TrustSet) -> bool:
    return any(anchor.certificate == certificate for anchor in trust.anchors(purpose))


def verdict_of(reason: Reason) -> PathVerdict:
    """A failed verdict: invalid, or indeterminate where more knowledge could still help."""
    return PathVerdict(Status.INDETERMINATE if reason in _UNDECIDED else Status.INVALID, reason)


def _validate(asked: _Question) -> PathVerdict:
    certificate, trust = asked.certificate, asked.trust
    reason = leaf_reason(certificate, asked.at, asked.purpose, trust, authority=asked.authority,
                         any_strength=asked.any_strength)
    if reason is not None:
        return verdict_of(reason)
    # 3. anchors
    if certificate.sha256 in trust.trusted:
        return PathVerdict(Status.VALID, path=(certificate,), since=certificate.not_before,
                           until=certificate.not_after)
    anchors = trust.anchors(asked.purpose)
    for anchor in anchors:
        if anchor.certificate == certificate:
            return PathVerdict(Status.VALID, path=(certificate,), anchor=anchor, policies=certificate.policies,
                               since=certificate.not_before, until=certificate.not_after)
    if not anchors:
        return verdict_of(Reason.PATH_TRUST_ANCHOR_MISSING)
    for found in _searches(asked, anchors):
        verdict = _best(asked, found)
        if verdict.valid:
            return verdict
    return verdict


def _searches(asked: _Question, anchors: Sequence[Anchor]) -> Iterator[Search]:
    """4., and once more for every missing issuer that could be had (6.)."""
    trust = asked.trust
    reported: list[Certificate] = []
    while True:
        found = search(asked.certificate, anchors, Pool(trust.intermediates, asked.extra, trust.known))
        yield found
        lacking = next((end for end in found.dead_ends if end not in reported), None)
        if trust.known is None or lacking is None or len(reported) == MISSING_ASKED_MAX:
            return
        reported.append(lacking)
        if not trust.known.missing(lacking):
            return


def _best(asked: _Question, found: Search) -> PathVerdict:
    """5. The first way that holds, else why the first one does not, else why there is none."""
    failure: Reason | None = None
    for path, anchor in found.ways:
        walked = _way(asked, path)
        if not isinstance(walked, Reason):
            return PathVerdict(Status.VALID, None, path, anchor, walked, since=max(c.not_before for c in path),
                               until=min(c.not_after for c in path))
        failure = failure or walked
    if failure is not None:
        return verdict_of(failure)
    if found.unknown_root is not None:
        return replace(verdict_of(Reason.PATH_UNTRUSTED_ROOT), end=found.unknown_root)
    if found.bad_signature:
        return verdict_of(Reason.PATH_SIGNATURE)
    return replace(verdict_of(Reason.PATH_ISSUER_MISSING), end=next(iter(found.dead_ends), None))


def _way(asked: _Question, path: tuple[Certificate, ...]) -> frozenset[str] | Reason:
    issuers = path[1:]
    for issuer in issuers:
        if issuer.sha256 in asked.trust.distrusted:
            return Reason.CERTIFICATE_DISTRUSTED
        if not issuer.not_before <= asked.at <= issuer.not_after:
            return Reason.PATH_EXPIRED
        weak = strength_reason(issuer, asked.at, anchor=issuer is path[-1])
        if weak is not None and not asked.any_strength:
            return weak
        if not issuer_usage_fits(issuer, asked.purpose):
            return Reason.PATH_CONSTRAINT
    try:
        for position, certificate in enumerate(path[:-1]):
            final = position == 0 and not asked.authority
            if certificate.self_issued and not final:  # RFC 5280 6.1.3 (b): the same authority under another key
                continue
            if not addresses_permitted(certificate, path[position + 1:]):
                return Reason.PATH_CONSTRAINT
    except ValueError:  # an extension that cannot be read
        return Reason.PATH_CONSTRAINT
    return walk(path, asked.at, asked.policies, authority=asked.authority)
