"""From octets that were fetched to what the table holds: read, authenticated, merged with what was there, put."""

from collections.abc import Sequence
from datetime import datetime

from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.crl import read_list
from gateway.pki.revocation.entries import stored
from gateway.pki.revocation.ocsp import Answer, read_answer
from gateway.pki.revocation.verdict import RevocationData
from gateway.pki.trust import TrustSet
from gateway.ports.revocation import RevocationStore, StoredList


def learn_list(store: RevocationStore, der: bytes, issuer: Certificate, certificates: Sequence[Certificate],
               trust: TrustSet, at: datetime, *, url: str = "", data: RevocationData | None = None) -> StoredList:
    """What was put of a list about certificates of `issuer`. GatewayError as of `pki.revocation.crl.read_list`;

    REVOCATION_STALE where the store has a newer one already.
    """
    new = read_list(der, issuer, certificates, trust, at, data)
    before = next((one for one in store.lists(new.authority) if (one.scope, one.kind) == (new.scope, new.kind)), None)
    kept = stored(new, before, url=url, fetched_at=at)
    if not store.put_list(kept):
        raise GatewayError(Reason.REVOCATION_STALE, "a newer list is known")
    return kept


def learn_answer(store: RevocationStore, der: bytes, certificate: Certificate, issuer: Certificate, trust: TrustSet,
                 at: datetime, *, nonce: bytes | None = None, data: RevocationData | None = None) -> Answer:
    """What was put of an answer about `certificate`. GatewayError as of `pki.revocation.ocsp.read_answer`;

    REVOCATION_STALE where the store has a newer one already.
    """
    answer = read_answer(der, certificate, issuer, trust, at, nonce, data)
    if not store.put_answer(answer.stored(at)):
        raise GatewayError(Reason.REVOCATION_STALE, "a newer answer is known")
    return answer

