"""The verdict table, cell by cell. Truth: the table itself, written out here a second time as data and as a formula."""

from dataclasses import replace
from itertools import product

import pytest

from gateway.errors import Reason
from gateway.model.verdict import DecryptionVerdict, SignatureVerdict, SignerVerdict, Status, Trust
from gateway.pki.content import Content
from gateway.pki.judge import JudgedSigner
from gateway.smime.layers import Peeled, Signatures
from gateway.smime.verdict import (
    FromFacts,
    JudgedLayer,
    all_of,
    decide,
    decryption_verdict,
    signature_verdict,
    speaking,
)
from tests.support.sealed import ANNA, TEXT, anna

V, F, U, N = Status.VALID, Status.INVALID, Status.INDETERMINATE, Status.NOT_SIGNED
REASONS = {V: None, F: Reason.SIGNATURE_ALTERED, U: Reason.PATH_ISSUER_MISSING}
CONTENT = Content(TEXT)
FROM = FromFacts(ANNA)


def signer(status=V, person=None, layer=0):
    certificate = (person or anna()).certificate
    return JudgedSigner(SignerVerdict(layer, status, REASONS[status]), certificate, CONTENT)


def layer(*statuses, depth=0, covers="whole", person=None):
    return JudgedLayer(Signatures(depth, None, CONTENT, covers=covers),
                       tuple(signer(status, person, depth) for status in statuses))


def peeled(encrypted_at=(), aead=False):
    found = Peeled.__new__(Peeled)
    found.layers, found.signed, found.encrypted_at, found.aead = [], [], list(encrypted_at), aead
    found.decryption = DecryptionVerdict("decrypted" if encrypted_at else "not_encrypted")
    found.complete, found.fault = True, None
    return found


@pytest.mark.parametrize(("statuses", "together"), [
    ([], N), ([V], V), ([V, V], V), ([V, U], U), ([U, V], U), ([V, F], F), ([U, F, V], F), ([U], U), ([F], F)])
def test_the_and_over_signers(statuses, together):
    assert all_of(statuses) is together
    found = signature_verdict(peeled(), [layer(*statuses)], FROM)
    assert found.status is together
    assert found.reason is (Reason.SIGNATURE_NOT_SIGNED if together is N else REASONS[together])


@pytest.mark.parametrize(("outer", "inner", "status", "reason"), [
    (V, V, V, None), (F, V, F, Reason.SIGNATURE_OUTER_INVALID), (U, V, U, Reason.PATH_ISSUER_MISSING),
    (V, F, F, Reason.SIGNATURE_ALTERED), (F, F, F, Reason.SIGNATURE_ALTERED), (F, U, F, Reason.SIGNATURE_OUTER_INVALID),
    (V, U, U, Reason.PATH_ISSUER_MISSING), (U, F, F, Reason.SIGNATURE_ALTERED)])
@pytest.mark.parametrize("encrypted_at", [(), (1,)])
def test_signatures_around_the_innermost(outer, inner, status, reason, encrypted_at):
    layers = [layer(outer, depth=0), layer(inner, depth=2)]
    found = signature_verdict(peeled(encrypted_at), layers, FROM)
    assert (found.status, found.reason) == (status, reason)
    assert speaking(layers) is layers[1]
    assert found.order == ("both" if encrypted_at else "signed_only")


def test_a_layer_without_signers_neither_speaks_nor_counts():
    layers = [layer(V, depth=0), layer(depth=1)]
    assert speaking(layers) is layers[0]
    assert signature_verdict(peeled(), layers, FROM).status is V


@pytest.mark.parametrize(("depths", "encrypted_at", "order"), [
    ((0,), (), "signed_only"), ((1,), (0,), "inside_encryption"), ((0,), (1,), "outside_encryption"),
    ((0, 2), (1,), "both"), ((1,), (0, 2), "outside_encryption"), ((2,), (0, 1), "inside_encryption"),
    ((0, 1), (2,), "outside_encryption")])
def test_order_is_seen_from_the_innermost_encryption(depths, encrypted_at, order):
    layers = [layer(V, depth=depth) for depth in depths]
    assert signature_verdict(peeled(encrypted_at), layers, FROM).order == order


@pytest.mark.parametrize(("aead", "inside", "integrity"), [
    (True, [], "aead"), (True, [F], "aead"), (False, [], "none"), (False, [V], "signed_inside"), (False, [F], "none"),
    (False, [U], "none"), (False, [V, F], "none")])
def test_what_authenticates_the_plaintext(aead, inside, integrity):
    found = decryption_verdict(peeled([0], aead), [layer(*inside, depth=1)] if inside else [])
    assert found.integrity == integrity


def test_a_signature_outside_authenticates_nothing_inside():
    assert decryption_verdict(peeled([1]), [layer(V, depth=0)]).integrity == "none"


FROMS = {"signer": FROM, "other": FromFacts("boss@bank.example"), "none": FromFacts(None, Reason.FROM_MISSING),
         "ambiguous": FromFacts(None, Reason.FROM_AMBIGUOUS), "differs": FromFacts(ANNA, differs=True),
         "unclaimed": FromFacts(None, claimed=False)}
DECRYPTIONS = {"plain": DecryptionVerdict("not_encrypted"),
               "aead": DecryptionVerdict("decrypted", None, "whole", "aead"),
               "loose": DecryptionVerdict("decrypted", None, "whole", "none"),
               "no_key": DecryptionVerdict("no_key", Reason.DECRYPTION_NO_KEY, "whole"),
               "failed": DecryptionVerdict("failed", Reason.DECRYPTION_FAILED, "whole"),
               "part": DecryptionVerdict("failed", Reason.DECRYPTION_PART_ONLY, "part")}


@pytest.mark.parametrize("status", [V, F, U, N])
@pytest.mark.parametrize("from_", FROMS)
def test_the_table(status, from_):
    """Every cell against the rule in words: never trusted unless everything is as it should be."""
    main = layer(status) if status is not N else None
    for covers, decryption, order in product(
            ["whole", "part"], DECRYPTIONS, ["signed_only", "inside_encryption", "outside_encryption"]):
        signature = SignatureVerdict(status, REASONS.get(status, Reason.SIGNATURE_NOT_SIGNED), covers, order)
        trust, why = decide(signature, DECRYPTIONS[decryption], FROMS[from_], main)
        if status is F or (status is V and from_ in {"other", "differs"}):
            expected = Trust.NOT_TRUSTED
        elif (status is V and covers == "whole" and order != "outside_encryption" and from_ in {"signer", "unclaimed"}
              and decryption in {"plain", "aead"}):
            expected = Trust.TRUSTED
        else:
            expected = Trust.UNKNOWN
        cell = (status, covers, from_, decryption, order)
        assert trust is expected, cell
        assert (why == ()) is (trust is Trust.TRUSTED), cell
        assert len(set(why)) == len(why), cell


def test_a_fault_of_the_layers_is_never_trusted():
    signature = SignatureVerdict(V, None, "whole", "signed_only")
    assert decide(signature, DECRYPTIONS["plain"], FROM, layer(V), Reason.INPUT_LIMIT_EXCEEDED) == (
        Trust.UNKNOWN, (Reason.INPUT_LIMIT_EXCEEDED,))


def test_one_signer_of_several_must_be_the_from():
    other = anna(email="bert@customer.example")
    both = JudgedLayer(Signatures(0, None, CONTENT), (signer(V, other), signer(V)))
    signature = signature_verdict(peeled(), [both], FROM)
    assert [s.matches_from for s in signature.signers] == [False, True]
    assert decide(signature, DECRYPTIONS["plain"], FROM, both)[0] is Trust.TRUSTED
    alone = JudgedLayer(Signatures(0, None, CONTENT), (signer(V, other),))
    assert decide(signature_verdict(peeled(), [alone], FROM), DECRYPTIONS["plain"], FROM, alone)[0] is Trust.NOT_TRUSTED


def test_an_outer_signer_lends_no_identity():
    """The boss's list server signs around Anna's mail that claims to be from the boss."""
    boss = anna(email="boss@bank.example")
    from_ = FromFacts("boss@bank.example")
    layers = [layer(V, depth=0, person=boss), layer(V, depth=1)]
    signature = signature_verdict(peeled(), layers, from_)
    trust, why = decide(signature, DECRYPTIONS["plain"], from_, speaking(layers))
    assert (trust, why) == (Trust.NOT_TRUSTED, (Reason.FROM_MISMATCH,))
    assert [s.matches_from for s in signature.signers] == [True, False]


def test_a_missing_content_is_undecided_a_broken_form_is_false():
    base = Signatures(0, None, CONTENT)
    assert JudgedLayer(replace(base, fault=Reason.SIGNATURE_CONTENT_MISSING), ()).status is U
    assert JudgedLayer(replace(base, fault=Reason.SIGNATURE_MALFORMED), ()).status is F
