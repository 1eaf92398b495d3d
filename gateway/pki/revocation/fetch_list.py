"""What there is to fetch about a certificate, out of the URLs that it names: lists, answers, its issuer.

RFC 5280 4.2.1.13 and 4.2.1.15 (distribution points, freshest list), 4.2.2.1 (authority information access). URLs are
a stranger's word; here only their scheme is looked at. LDAP URLs are left out unless the settings name that scheme.
"""

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Final

from gateway.cms.certificate import Certificate
from gateway.pki.path.issuers import Pool, search
from gateway.pki.revocation.entries import authority_id
from gateway.pki.revocation.scope import answer_urls, delta_urls, issuer_urls, list_urls
from gateway.pki.trust import TrustSet
from gateway.ports.fetch import FetchKind, FetchRequest

_URLS_MAX: Final = 3  # of one certificate and kind that are asked at all; the rest say the same


def crl_requests(certificate: Certificate, issuer: Certificate, schemes: Collection[str]) -> tuple[FetchRequest, ...]:
    """Fetch requests for the lists that cover this certificate, and for their delta lists."""
    urls = (*_fitting(list_urls(certificate), schemes), *_fitting(delta_urls(certificate), schemes))
    return tuple(crl_request(url, certificate, issuer) for url in dict.fromkeys(urls))


def crl_request(url: str, certificate: Certificate, issuer: Certificate) -> FetchRequest:
    """One list about certificates of `issuer`."""
    return FetchRequest(_key("crl", url, authority_id(issuer)), "crl", url, certificate.der, issuer.der)


def ocsp_requests(certificate: Certificate, issuer: Certificate, schemes: Collection[str]) -> tuple[FetchRequest, ...]:
    """Answers about this certificate alone."""
    about = f"{authority_id(issuer)}/{certificate.serial:x}"
    return tuple(FetchRequest(_key("ocsp", url, about), "ocsp", url, certificate.der, issuer.der)
                 for url in _fitting(answer_urls(certificate), schemes))


def issuer_requests(certificate: Certificate, schemes: Collection[str]) -> tuple[FetchRequest, ...]:
    """The certificate's issuer. One task for all certificates of one issuer that name one place."""
    about = sha256(certificate.issuer_der + (certificate.aki or b"")).hexdigest()
    return tuple(FetchRequest(_key("issuer", url, about), "issuer", url, certificate.der)
                 for url in _fitting(issuer_urls(certificate), schemes))


def _fitting(urls: Sequence[str], schemes: Collection[str]) -> tuple[str, ...]:
    allowed = tuple(f"{scheme}://" for scheme in schemes)
    return tuple(url for url in urls if url.lower().startswith(allowed))[:_URLS_MAX]


def _key(kind: FetchKind, url: str, about: str) -> str:
    return sha256(f"{kind}\n{url}\n{about}".encode()).hexdigest()


def issuer_crl_requests(issuers: Iterable[Certificate], trust: TrustSet, schemes: Collection[str]
                        ) -> tuple[FetchRequest, ...]:
    """Fetch requests for the lists that cover these issuers, if they are below a root that is trusted for any purpose.

    They are wanted before a mail needs them: there are few, and every path hangs on them.
    """
    anchors = tuple({anchor.certificate: anchor for purpose in (trust.signers, trust.recipients, trust.stampers)
                     for anchor in purpose}.values())
    pool = Pool(trust.intermediates, (), trust.known)
    found: dict[str, FetchRequest] = {}
    for issuer in issuers:
        for way, _ in search(issuer, anchors, pool).ways:
            for child, above in pairwise(way):
                found.update((one.key, one) for one in crl_requests(child, above, schemes))
    return tuple(found.values())
