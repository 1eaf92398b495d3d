"""Path and revocation of one certificate together, kept for a short while.

Validating a path costs a millisecond, and a mail's signer comes again: what was found is kept as one verdict, under
everything that it hangs on: the certificate, its purpose, what else the mail encloses, the trust set, the table of
algorithms, mode and generation of the revocation data, and the time (`pki.path.cache`). A verdict at a time out of a
time-stamp is kept apart from those at the present, and with the time of its reception.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.cms import algorithms
from gateway.cms.certificate import Certificate
from gateway.errors import Reason
from gateway.model.verdict import Status
from gateway.pki.path import validation as path
from gateway.pki.path.cache import SLOT_S, VerdictCache
from gateway.pki.path.issuers import Pool, key_ids_fit, signed_by
from gateway.pki.path.validation import PathVerdict
from gateway.pki.revocation.verdict import Revocation, RevocationVerdict
from gateway.pki.trust import Purpose, TrustSet

_NOT_ASKED: Final = RevocationVerdict()


@dataclass(frozen=True, slots=True)
class Believed:
    """What is thought of a certificate at t. `revoked` says nothing where the path has failed already.

    `fresh`: at reception nothing on the path was revoked, on fresh data.
    """

    path: PathVerdict
    revoked: RevocationVerdict = _NOT_ASKED
    fresh: bool = False
    until: datetime = _NOT_ASKED.until


_kept: VerdictCache[Believed] = VerdictCache()


def believe(certificate: Certificate, at: datetime, received: datetime, purpose: Purpose, trust: TrustSet,
            revocation: Revocation, extra: Sequence[Certificate] = (), *, vouched: bool = False) -> Believed:
    """The verdict at the aware time `at`; `received` is another one where `at` comes from a time-stamp.

    `vouched`: the bank's own word on this certificate replaces its path to a root, as that of `trust.trusted`.
    Never raises for what certificates hold.
    """
    stamped = at is not received
    key = (certificate.sha256, purpose, vouched, trust.version, algorithms.TABLE_VERSION, revocation.version,
           tuple(sorted({issuer.sha256 for issuer in extra})), int(received.timestamp()) // SLOT_S if stamped else 0)
    known = _kept.get(key, at, stamped=stamped)
    if known is not None and known.path.since <= at <= known.path.until and received <= known.until:
        return known
    believed = _believe(_vouched(certificate, at, purpose, trust) if vouched else path.validate(
        certificate, at, purpose, trust, extra, stamped=stamped), at, received, purpose, trust, revocation, extra)
    # Asking may have fetched something new, and a missing issuer may be known the next moment.
    if revocation.version == key[5] and (
            trust.known is None or believed.path.reason is not Reason.PATH_ISSUER_MISSING):
        _kept.put(key, at, believed, stamped=stamped)
    return believed


def _vouched(certificate: Certificate, at: datetime, purpose: Purpose, trust: TrustSet) -> PathVerdict:
    reason = path.leaf_reason(certificate, at, purpose, trust)
    verdict = path.verdict_of(reason) if reason is not None else PathVerdict(Status.VALID, path=(certificate,))
    since, until = path.steady(at, (certificate,))
    return replace(verdict, since=since, until=until)


def _believe(found: PathVerdict, at: datetime, received: datetime, purpose: Purpose, trust: TrustSet,
             revocation: Revocation, extra: Sequence[Certificate]) -> Believed:
    if found.reason is not None:
        return Believed(found)
    way = revocable(found, purpose, trust, extra)
    revoked = revocation.judge(way, at, received, dates_itself=purpose == "stamper")
    if revoked.reason is not None or at is received:
        return Believed(found, revoked, revoked.fresh, revoked.until)
    # Acts also ask for the time of reception: a stamp makes old signatures good, not old powers.
    now = revocation.judge(way, received, received)
    return Believed(found, revoked, now.fresh, min(revoked.until, now.until))


def revocable(found: PathVerdict, purpose: Purpose, trust: TrustSet,
              extra: Sequence[Certificate] = ()) -> tuple[Certificate, ...]:
    """The path, in which every certificate but the last can be looked up.

    The bank's own word on a certificate replaces its path, never for its issuer's word that it was revoked: so the
    issuer is found here, if anybody has it.
    """
    if len(found.path) != 1 or found.anchor is not None:
        return found.path
    return with_issuer(found.path[0], purpose, trust, extra)


def with_issuer(certificate: Certificate, purpose: Purpose, trust: TrustSet,
                extra: Sequence[Certificate] = ()) -> tuple[Certificate, ...]:
    """The certificate and its issuer, if that is at hand."""
    anchors = (anchor.certificate for anchor in trust.anchors(purpose))
    for issuer in Pool((*anchors, *trust.intermediates), extra, trust.known).issuers_of(certificate):
        if issuer != certificate and key_ids_fit(certificate, issuer) and signed_by(certificate, issuer):
            return certificate, issuer
    return (certificate,)
