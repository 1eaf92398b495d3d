"""Verdicts when many threads ask at once, as they do in the first second after a start.

Truth: a property. Every thread gets the answer that one alone gets. The path library's certificates read themselves
lazily and are shared; without a lock most of these answers are `path.constraint`, and a good mail is refused.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gateway.cms.certificate import parse_certificate
from gateway.pki.path import issuers, rfc5280
from gateway.pki.path import validation as path
from tests.support.pki import NOW, get_pki
from tests.support.sealed import trust_of

THREADS = 8
ROUNDS = 20


@pytest.fixture
def eager_threads():
    """Switches as often as the interpreter can, so that what can go wrong does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(ask):
    """What each of several threads gets that begin together."""
    together = Barrier(THREADS)

    def one(_):
        together.wait()
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return set(pool.map(one, range(THREADS)))


@pytest.mark.usefixtures("eager_threads")
def test_a_path_that_holds_holds_for_every_thread():
    pki = get_pki()
    person = pki.signer("rsa-2048")
    way = (person.certificate, *person.chain, parse_certificate(pki.root.der))
    assert path.validate(person.certificate, NOW, "signer", trust_of(pki), person.chain).valid
    for _ in range(ROUNDS):
        for kept in (issuers.as_asn1, rfc5280._anchored):
            kept.cache_clear()
        assert at_once(lambda: rfc5280.walk(way, NOW)) == {frozenset()}


@pytest.mark.usefixtures("eager_threads")
def test_a_signature_that_verifies_verifies_for_every_thread():
    person = get_pki().signer("rsa-2048")
    (issuer,) = person.chain[:1]
    for _ in range(ROUNDS):
        for kept in (issuers.as_asn1, issuers.signed_by):
            kept.cache_clear()
        assert at_once(lambda: (issuers.signed_by(person.certificate, issuer),
                                issuers.issuer_key(person.certificate) == issuers.subject_key(issuer))) == {
            (True, True)}
