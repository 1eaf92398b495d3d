"""The search for issuers under attack: certificates made to be searched for ever, counted signature checks."""

import pytest

from gateway.authority import ca
from gateway.authority.ca import Naming, Profile
from gateway.cms.certificate import parse_certificate
from gateway.pki.path import issuers
from gateway.pki.path.issuers import LENGTH_MAX, SIGNATURES_MAX, WAYS_MAX, Pool, search
from gateway.pki.trust import anchors_of
from tests.support.pki import END, START, get_pki

CA = Profile(frozenset({"key_cert_sign"}), is_ca=True)


@pytest.fixture
def checks(monkeypatch):
    """How many signatures a search has verified."""
    done = []
    really = issuers.signed_by

    def signed_by(child, issuer):
        done.append((child, issuer))
        return really(child, issuer)

    monkeypatch.setattr(issuers, "signed_by", signed_by)
    return done


def entangled(count, name="Hydra"):
    """`count` authorities of one name and one key: each is an issuer of each, and none leads anywhere."""
    key = ca.generate_signing_key("p-256")
    root = ca.create_root(Naming(name), key, START, END)
    self_issued = ca.Authority(root.der, key)
    ders = [ca.issue(self_issued, Naming(name), key.public_key(), CA, START, END, serial=number + 2)
            for number in range(count)]
    return [parse_certificate(der) for der in ders], self_issued


def test_entangled_authorities_end_at_the_bound(checks):
    hydra, issuer = entangled(30)
    leaf = get_pki().signer("p-256", email="victim@customer.example", issuer=issuer)
    found = search(leaf.certificate, anchors_of([get_pki().root_certificate]), Pool((), hydra, None))
    assert not found.ways
    assert len(checks) <= SIGNATURES_MAX + len(hydra) + 2  # the rest: whether each is its own root, asked once
    assert found.unknown_root or found.issuer_missing


def test_many_ways_end_at_the_bound():
    hydra, issuer = entangled(30, "Many Ways")
    anchors = anchors_of([parse_certificate(issuer.der)])
    leaf = get_pki().signer("p-256", email="ways@customer.example", issuer=issuer)
    found = search(leaf.certificate, anchors, Pool((), hydra, None))
    assert 1 <= len(found.ways) <= WAYS_MAX
    assert len(found.ways[0][0]) == 2
    assert all(len(way) <= LENGTH_MAX for way, _ in found.ways)


def chain(length):
    root = ca.create_root(Naming("Long Root"), ca.generate_signing_key("p-256"), START, END)
    made, last = [], root
    for number in range(length - 2):
        last = ca.create_intermediate(last, Naming(f"Long {number}"), ca.generate_signing_key("p-256"), START, END,
                                      path_length=None)
        made.append(parse_certificate(last.der))
    leaf = get_pki().signer("p-256", email=f"long{length}@customer.example", issuer=last)
    return leaf.certificate, made, anchors_of([parse_certificate(root.der)])


@pytest.mark.parametrize(("length", "found"), [(LENGTH_MAX - 1, True), (LENGTH_MAX, True), (LENGTH_MAX + 1, False)])
def test_the_length_of_a_way_is_bounded(length, found):
    leaf, between, anchors = chain(length)
    assert bool(search(leaf, anchors, Pool((), between, None)).ways) is found


def test_names_that_differ_in_case_and_spaces_are_the_same_name():
    """RFC 5280 7.1: some authorities write their own name in two ways."""
    key = ca.generate_signing_key("p-256")
    root = ca.create_root(Naming("Case  Root", "Bank"), key, START, END)
    spelled = ca.Authority(ca.create_root(Naming("case root", "BANK"), key, START, END).der, key)
    leaf = get_pki().signer("p-256", email="case@customer.example", issuer=spelled)
    assert search(leaf.certificate, anchors_of([parse_certificate(root.der)]), Pool((), (), None)).ways
