"""Proof values: nobody but the mint makes them, and the mint only out of what was judged valid."""

import copy
import hashlib
import pickle
from dataclasses import replace

import pytest

from gateway.cms.signed_reader import parse_signed
from gateway.model.verdict import Status
from gateway.pki.content import Content
from gateway.pki.identity import SignedContent, VerifiedSigner, mint
from tests.support.pki import NOW
from tests.support.sealed import ANNA, TEXT, anna, judge, signature, stamper


def judged(**options):
    return judge().signed(parse_signed(signature(TEXT, anna(), **options)), Content(TEXT), 0, NOW)


def test_the_mint_tells_content_and_signers():
    proof = mint(judged(), ANNA, NOW)
    assert proof.octets == TEXT
    assert proof.digest == hashlib.sha256(TEXT).digest()
    assert proof.judged_at == NOW
    (signer,) = proof.signers
    assert signer.certificate == anna().certificate
    assert (signer.matches_from, signer.stamped, signer.fresh) == (True, False, False)
    assert mint(judged(stamp=stamper(NOW)), "eve@customer.example", NOW).signers[0].stamped
    assert not mint(judged(), "eve@customer.example", NOW).signers[0].matches_from
    assert not mint(judged(), None, NOW).signers[0].matches_from


def test_nobody_else_makes_them():
    proof = mint(judged(), ANNA, NOW)
    with pytest.raises(TypeError):
        SignedContent(b"pay", b"", proof.signers, NOW)
    with pytest.raises(TypeError):
        VerifiedSigner(anna().certificate, (ANNA,), NOW, stamped=True, fresh=True, matches_from=True,
                       info=proof.signers[0].info, enclosed=())
    for value in (proof, proof.signers[0]):
        with pytest.raises((TypeError, ValueError)):
            replace(value, **({"octets": b"pay"} if value is proof else {"emails": ()}))
        with pytest.raises(TypeError):
            copy.copy(value)
        with pytest.raises(TypeError):
            pickle.dumps(value)
        with pytest.raises(AttributeError):
            setattr(value, "octets" if value is proof else "emails", b"pay")


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.VALID])
def test_only_valid_signers_are_proof(status):
    (signer,) = judged()
    assert mint((replace(signer, verdict=replace(signer.verdict, status=status)),), ANNA, NOW) is None
    assert mint((signer, replace(signer, verdict=replace(signer.verdict, status=status))), ANNA, NOW) is None


def test_no_signers_and_mixed_contents_are_no_proof():
    assert mint((), ANNA, NOW) is None
    assert mint((*judged(), *judged()), ANNA, NOW) is None


def test_only_one_place_in_the_house_mints():
    """Held over the sources: the constructors are called in pki/identity.py, the mint in smime/open.py."""
    import ast
    from pathlib import Path

    root = Path(__file__).parents[3] / "gateway"
    callers = {"SignedContent": set(), "VerifiedSigner": set(), "mint": set()}
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if name in callers:
                    callers[name].add(str(file.relative_to(root)))
    assert callers == {"SignedContent": {"pki/identity.py"}, "VerifiedSigner": {"pki/identity.py"},
                       "mint": {"smime/open.py"}}
