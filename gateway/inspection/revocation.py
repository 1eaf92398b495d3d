"""Inspects a revocation list or an OCSP answer alone: its content, and whether its issuer signed it.

The issuer must be among the roots and intermediates that are given, or beside the answer in the file; its own path to
a root is part of the question. The reading and judging is the gateway's own (`pki.revocation.crl`,
`pki.revocation.ocsp`).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.inspection.report import AnswerReport, ListReport, Report
from gateway.model.verdict import Status, Trust
from gateway.pki.judge import Judge
from gateway.pki.path import validation as path
from gateway.pki.revocation.crl import from_pem, read_head, read_list
from gateway.pki.revocation.entries import count
from gateway.pki.revocation.ocsp import OcspResponse, Single, check_times, names_issuer, parse_response, responder_of
from gateway.pki.revocation.scope import name_hash
from gateway.pki.revocation.table import UNDATED_LIST
from gateway.pki.trust import Purpose, TrustSet

TOLD_MAX: Final = 100  # single answers of one response that are reported
_PURPOSES: Final[tuple[Purpose, ...]] = ("signer", "recipient", "stamper")
_UNDECIDED: Final = frozenset({Reason.REVOCATION_STALE, Reason.REVOCATION_REFUSED, Reason.PATH_ISSUER_MISSING,
                               Reason.PATH_TRUST_ANCHOR_MISSING})


def inspect_answer(octets: bytes, judge: Judge, at: datetime) -> Report:
    """An OCSPResponse (RFC 6960). `trusted`: an authorised signer signed it, and it is in force.

    The certificate's status, good, revoked or unknown, is in `answers`.
    """
    try:
        response = parse_response(octets)
    except GatewayError as error:
        return Report("ocsp", _verdict([error.reason]), (error.reason,))
    singles = tuple(_single(single, response, judge, at) for single in response.singles[:TOLD_MAX])
    why = tuple(dict.fromkeys(answer.reason for answer in singles if answer.reason is not None))
    if not singles:
        why = (Reason.REVOCATION_REFUSED,)
    return Report("ocsp", _verdict(why), why, answers=singles)


def _single(single: Single, response: OcspResponse, judge: Judge, at: datetime) -> AnswerReport:
    issuer = next((candidate for candidate in _known(judge.trust, response.certificates)
                   if names_issuer(single.id, candidate)), None)
    responder, reason = None, None
    if issuer is None:
        reason = Reason.PATH_ISSUER_MISSING
    else:
        try:
            responder = responder_of(response, issuer, judge.trust, at, judge.revocation.data)
            check_times(single, at)
            reason = _issuer_fault(issuer, judge.trust, at, response.certificates)
        except GatewayError as error:
            reason = error.reason
    return AnswerReport(
        f"{single.id.serial:x}", single.status, issuer.subject if issuer else None, single.this_update,
        single.next_update, response.produced_at, single.revoked_at, single.reason,
        responder.subject if responder else None, reason)


def inspect_list(octets: bytes, judge: Judge, at: datetime) -> Report:
    """A revocation list (RFC 5280 5). `trusted`: its issuer signed it, and it is in force."""
    try:
        der = from_pem(octets)
        head = read_head(der)
    except GatewayError as error:
        return Report("crl", _verdict([error.reason]), (error.reason,))
    issuer_hash = name_hash(head.issuer)
    issuer = next((candidate for candidate in _known(judge.trust)
                   if name_hash(candidate.subject_der) == issuer_hash), None)
    entries: int | None = None
    why: list[Reason] = []
    if issuer is None:
        why.append(Reason.PATH_ISSUER_MISSING)
    else:
        try:
            entries = count(read_list(der, issuer, judge.trust.intermediates, judge.trust, at,
                                      judge.revocation.data).records)
            why.extend(filter(None, [_issuer_fault(issuer, judge.trust, at)]))
        except GatewayError as error:
            why.append(error.reason)
    if at > (head.next_update or head.this_update + UNDATED_LIST):
        why.append(Reason.REVOCATION_STALE)
    listing = ListReport(issuer.subject if issuer else None, head.number, head.base_number, head.this_update,
                      head.next_update, head.scope.text, head.indirect, entries)
    return Report("crl", _verdict(why), tuple(why), revocation_list=listing)


def _known(trust: TrustSet, beside: Sequence[Certificate] = ()) -> Iterator[Certificate]:
    for purpose in _PURPOSES:
        yield from (anchor.certificate for anchor in trust.anchors(purpose))
    yield from trust.intermediates
    yield from beside


def _issuer_fault(issuer: Certificate, trust: TrustSet, at: datetime,
                  beside: Sequence[Certificate] = ()) -> Reason | None:
    """Why the issuer itself is not trusted; None if its path is valid for one purpose."""
    verdicts = [path.validate(issuer, at, purpose, trust, beside, authority=True) for purpose in _PURPOSES]
    return None if any(verdict.status is Status.VALID for verdict in verdicts) else verdicts[0].reason


def _verdict(why: Sequence[Reason]) -> Trust:
    if not why:
        return Trust.TRUSTED
    return Trust.UNKNOWN if all(reason in _UNDECIDED for reason in why) else Trust.NOT_TRUSTED
