"""One fetch task carried out: asked, read, authenticated, stored, and when it is due again.

1. the question: a GET of a list or an issuer, a POST to an OCSP responder with a fresh nonce
2. what came is believed by its signature alone (`pki.revocation.learn`); where it came from counts for nothing
3. an issuer is kept only if it, or further ones that it names, complete a way up to a root that is trusted: a
   stranger's own hierarchy fills nothing
4. lists come again before they end, at the latest after `max_age_s`; failures are tried again, ever more seldom

RFC 5280 4.2.2.1 and 5; RFC 6960 appendix A; RFC 9654 (nonce); RFC 5652 (certs-only bundles of issuers).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from gateway.clock import Clock
from gateway.cms.certificate import Certificate, each_certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.path.issuers import Pool, key_ids_fit, search, signed_by
from gateway.pki.revocation.learn import learn_answer, learn_list
from gateway.pki.revocation.ocsp import build_request
from gateway.pki.revocation.scope import issuer_urls
from gateway.pki.revocation.verdict import RevocationData
from gateway.pki.trust import TrustSet
from gateway.ports.administration import Kept, NewCertificate
from gateway.ports.fetch import FetchTask, FetchTasks, Web
from gateway.ports.revocation import RevocationStore

ANSWER_OCTETS_MAX: Final = 65_536  # an OCSP answer with its responder's certificates has 2 to 6 KiB
ISSUER_OCTETS_MAX: Final = 65_536
ISSUERS_MAX: Final = 16  # certificates in one answer that are looked at
CLIMB_MAX: Final = 3  # issuers fetched one above the other
NONCE_OCTETS: Final = 16  # RFC 8954 allowed 1 to 32, RFC 9654 32 to 128; this one everybody knows
BACKOFF_MAX: Final = 4  # failures are tried again after retry_s, twice that, and so on up to so many times
LEAD: Final = 10  # a list is fetched again when a tenth of its time is left,
LEAD_MAX: Final = timedelta(hours=1)  # or an hour
SOON: Final = timedelta(seconds=60)  # a list is not fetched more often than this, however short its life is
GIVEN_UP: Final = timedelta(days=1)  # what is not a list and fails is tried for so long after it was last asked for


class IssuerStore(Protocol):
    """What keeps issuers; see ports.administration.CertificateStore."""

    def add(self, new: list[NewCertificate]) -> tuple[Kept, ...]:
        """All or none."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """Bounds, in seconds and octets; see settings.Fetch."""

    schemes: frozenset[str]
    deadline_s: float
    octets_max: int
    max_age_s: float
    retry_s: float


@dataclass(frozen=True, slots=True)
class Fetching:
    """Carries tasks out. Safe on many threads. `trust`: whom the bank believes now."""

    web: Web
    tasks: FetchTasks
    revocations: RevocationStore
    issuers: IssuerStore
    trust: Callable[[], TrustSet]
    data: RevocationData
    clock: Clock
    terms: Terms

    def carry_out(self, task: FetchTask) -> GatewayError | None:
        """What went wrong, None if nothing did; either way the task says so afterwards.

        GatewayError(STORE_UNAVAILABLE) if that could not be written: the task stays due.
        """
        try:
            due_at = self._fetched(task)
        except GatewayError as trouble:
            if trouble.reason.family == "store":
                raise
            self.tasks.failed(task.request.key, self._again(task), trouble.reason, trouble.detail)
            return trouble
        self.tasks.done(task.request.key, self.clock.now(), due_at)
        return None

    def _again(self, task: FetchTask) -> datetime | None:
        now = self.clock.now()
        if task.request.kind != "crl" and task.asked_at + GIVEN_UP < now:
            return None
        return now + timedelta(seconds=self.terms.retry_s * min(2 ** task.failures, BACKOFF_MAX))

    def _fetched(self, task: FetchTask) -> datetime | None:
        match task.request.kind:
            case "crl":
                return self._list(task)
            case "ocsp":
                self._answer(task)
            case "issuer":
                self._issuer(task)
        return None

    def _list(self, task: FetchTask) -> datetime:
        certificate, issuer = parse_certificate(task.request.certificate), parse_certificate(task.request.issuer)
        url = task.request.url
        der = self.web.get(url, deadline_s=self.terms.deadline_s, octets_max=self.terms.octets_max,
                           accept="application/pkix-crl, */*")
        now = self.clock.now()
        try:
            kept = learn_list(self.revocations, der, issuer, (certificate,), self.trust(), now, url=url, data=self.data)
        except GatewayError as trouble:
            if trouble.reason is not Reason.REVOCATION_STALE:
                raise
            return now + timedelta(seconds=self.terms.retry_s)  # we have a newer one: a mirror lags behind
        return next_fetch(now, kept.next_update, self.terms)

    def _answer(self, task: FetchTask) -> None:
        certificate, issuer = parse_certificate(task.request.certificate), parse_certificate(task.request.issuer)
        nonce = secrets.token_bytes(NONCE_OCTETS)
        der = self.web.post(task.request.url, build_request(certificate, issuer, nonce), "application/ocsp-request",
                            deadline_s=self.terms.deadline_s, octets_max=ANSWER_OCTETS_MAX,
                            accept="application/ocsp-response")
        learn_answer(self.revocations, der, certificate, issuer, self.trust(), self.clock.now(), nonce=nonce,
                     data=self.data)

    def _issuer(self, task: FetchTask) -> None:
        """3. of the module."""
        trust = self.trust()
        bottom = child = parse_certificate(task.request.certificate)
        url = task.request.url
        found: list[Certificate] = []
        for _ in range(CLIMB_MAX):
            octets = self.web.get(url, deadline_s=self.terms.deadline_s, octets_max=ISSUER_OCTETS_MAX,
                                  accept="application/pkix-cert, application/pkcs7-mime, */*")
            issuers = issuers_in(octets, child)
            if not issuers:
                raise GatewayError(Reason.PATH_ISSUER_MISSING, f"{url} holds no issuer of {child.subject}")
            found += issuers
            if leads_up(bottom, found, trust):
                self.issuers.add([NewCertificate(issuer, source="aia") for issuer in dict.fromkeys(found)])
                return
            child = issuers[0]
            above = [one for one in issuer_urls(child) if one.partition("://")[0].lower() in self.terms.schemes]
            if not above or child.self_issued:
                break
            url = above[0]
        raise GatewayError(Reason.PATH_UNTRUSTED_ROOT, f"{url} leads to no root that is trusted")


def issuers_in(octets: bytes, child: Certificate) -> list[Certificate]:
    """Issuers of `child`, by their signature, in DER, PEM or a certs-only bundle.

    CERTIFICATE_MALFORMED where none of the certificates can be read; a bad one among others is passed over.
    """
    found = each_certificate(octets)[:ISSUERS_MAX]
    if isinstance(found[0], GatewayError) and not any(isinstance(one, Certificate) for one in found):
        raise found[0]
    return [one for one in found
            if isinstance(one, Certificate) and one.is_ca and one != child
            and key_ids_fit(child, one) and signed_by(child, one)]


def leads_up(certificate: Certificate, issuers: list[Certificate], trust: TrustSet) -> bool:
    """Whether these complete a way from the certificate to any root that is trusted for anything."""
    anchors = tuple({anchor.certificate: anchor for purpose in (trust.signers, trust.recipients, trust.stampers)
                     for anchor in purpose}.values())
    return bool(search(certificate, anchors, Pool(trust.intermediates, issuers, trust.known)).ways)


def next_fetch(now: datetime, next_update: datetime | None, terms: Terms) -> datetime:
    """When a list that was fetched now is fetched again: before it ends, so that no mail meets an old one."""
    latest = now + timedelta(seconds=terms.max_age_s)
    if next_update is None:
        return latest
    left = next_update - now
    if left <= timedelta(0):  # it was out of date when it came
        return now + timedelta(seconds=terms.retry_s)
    return max(now + min(SOON, left), min(next_update - min(left / LEAD, LEAD_MAX), latest))
