"""What verbs fill in and what they refuse; the limits of a signing key hold whatever the rules say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from gateway.actions.encrypt import choose_cipher, choose_oaep
from gateway.actions.label import LabelParams
from gateway.actions.table import VERBS, carry_out
from gateway.actions.verb import KeySet, VerbContext
from gateway.cms.signed import SignerProfile, prepare
from gateway.errors import GatewayError, Reason
from gateway.model.decision import Step
from gateway.model.lookup import CertificateRow
from gateway.model.scheme import SignScheme
from gateway.smime.draft import Draft, Signer
from tests.support.pki import NOW, Person, get_pki

MAIL = b"From: otp@bank.example\r\nSubject: x\r\n\r\ny\r\n"


@pytest.fixture(scope="module")
def key_set() -> KeySet:
    person = get_pki().signer("p-256", email="otp@bank.example")
    prepared = prepare(SignerProfile(person.certificate, person.chain, SignScheme.ECDSA_SHA256))
    return KeySet(
        Signer("otp", person.certificate, prepared, lambda octets: person.sign(SignScheme.ECDSA_SHA256, octets)),
        ("otp@bank.example", "*@cards.bank.example"),
        frozenset({"online-banking"}),
    )


@pytest.fixture
def context(key_set: KeySet) -> VerbContext:
    return VerbContext(
        at=NOW,
        key_sets={"otp": key_set},
        from_="otp@bank.example",
        sender_is_ours=True,
        client="online-banking",
        client_is_ours=True,
    )


def step(verb: str, **params: object) -> Step:
    return Step(verb, VERBS[verb].params.model_validate(params))


def test_steps_are_carried_out_by_rank_whatever_their_order(context: VerbContext) -> None:
    draft = carry_out((step("sign", **{"with": "otp"}), step("label", subject_tag="[bank]")), Draft(MAIL), context)
    assert draft.signer is not None
    assert draft.subject_tag == "[bank]"
    assert [verb.rank for verb in VERBS.values()] == sorted(verb.rank for verb in VERBS.values())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"client": "staff"}, Reason.KEY_NOT_PERMITTED),
        ({"client": None, "client_is_ours": False}, Reason.KEY_NOT_PERMITTED),
        ({"client_is_ours": False}, Reason.KEY_NOT_PERMITTED),
        ({"sender_is_ours": False}, Reason.KEY_NOT_PERMITTED),  # the null sender is nobody, a foreign one somebody else
        ({"from_": None}, Reason.FROM_AMBIGUOUS),
        ({"from_": "director@bank.example"}, Reason.KEY_NOT_PERMITTED),
        ({"from_": "a@cards.bank.example"}, Reason.FROM_NOT_IN_CERTIFICATE),
        ({"key_sets": {}}, Reason.KEY_UNAVAILABLE),
    ],
)
def test_who_may_not_have_the_signature(context: VerbContext, change: dict[str, object], reason: Reason) -> None:
    with pytest.raises(GatewayError) as caught:
        carry_out((step("sign", **{"with": "otp"}),), Draft(MAIL), replace(context, **change))
    assert caught.value.reason is reason


def test_a_key_set_without_clients_signs_for_no_client(context: VerbContext, key_set: KeySet) -> None:
    none = replace(context, key_sets={"otp": replace(key_set, clients=frozenset())})
    with pytest.raises(GatewayError) as refused:
        carry_out((step("sign", **{"with": "otp"}),), Draft(MAIL), none)
    assert refused.value.reason is Reason.KEY_NOT_PERMITTED


def test_of_several_key_sets_the_one_for_the_from_signs(context: VerbContext, key_set: KeySet) -> None:
    other = replace(key_set, from_addresses=("anna@bank.example",))
    both = replace(context, key_sets={"anna": other, "otp": key_set})
    draft = carry_out((step("sign", **{"with": ["anna", "otp"]}),), Draft(MAIL), both)
    assert draft.signer is not None
    assert draft.signer.name == "otp"
    with pytest.raises(GatewayError) as caught:
        carry_out((step("sign", **{"with": ["anna"]}),), Draft(MAIL), both)
    assert caught.value.reason is Reason.KEY_NOT_PERMITTED


def test_encrypting_to_nobody_never_happens(context: VerbContext) -> None:
    with pytest.raises(GatewayError) as caught:
        carry_out((step("encrypt", without_certificate="reject"),), Draft(MAIL), context)
    assert caught.value.reason is Reason.CERTIFICATE_ABSENT


def escrowed(context: VerbContext, **escrow: Person) -> Draft:
    """A draft for a customer with the escrow `audit`."""
    customer = get_pki().recipient("p-256")
    ours = replace(context, chosen=(replace(row(), der=customer.der),), escrow={
        name: person.certificate for name, person in escrow.items()})
    steps = (step("encrypt", without_certificate="reject"), step("escrow", certificate="audit"))
    return carry_out(steps, Draft(MAIL), ours)


def test_an_escrow_is_one_more_reader_with_its_name(context: VerbContext) -> None:
    audit = get_pki().recipient("p-256", email="audit@bank.example")
    draft = escrowed(context, audit=audit)
    assert draft.encrypt_to[1:] == (audit.certificate,)
    assert draft.escrow == (("audit", audit.certificate.sha256),)


@pytest.mark.parametrize(("options", "why"), [
    ({"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}, "certificate.expired"),
    ({"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)}, "certificate.not_yet_valid"),
    (None, "certificate.wrong_usage"), ({}, "certificate.absent")])
def test_an_escrow_that_cannot_be_used_defers_and_is_named(
    context: VerbContext, options: dict[str, object] | None, why: str
) -> None:
    """A sign-only one gave every mail a permanent 550 that blamed the customer; an expired one was used."""
    person = get_pki().signer("p-256") if options is None else get_pki().recipient("p-256", **options)
    with pytest.raises(GatewayError) as caught:
        escrowed(context, **{"audit" if why != "certificate.absent" else "other": person})
    assert (caught.value.reason, caught.value.retry) == (Reason.ESCROW_UNUSABLE, True)
    assert caught.value.detail == f"escrow certificate 'audit': {why}"


def row(profile: str | None = None, capabilities: bytes | None = None) -> CertificateRow:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return CertificateRow("0" * 64, b"", ("a@b.example",), at, at, profile=profile, capabilities=capabilities)  # type: ignore[arg-type]


AES256_GCM = bytes.fromhex("300d300b060960864801650304012e")  # SMIMECapabilities { { aes256-GCM } }, RFC 8551 2.5.2


@pytest.mark.parametrize(
    ("wanted", "rows", "cipher"),
    [
        ("auto", (row(),), "cbc"),  # NSS and gpgsm read nothing newer
        ("auto", (row("gcm"),), "gcm"),
        ("auto", (row(capabilities=AES256_GCM),), "gcm"),
        ("auto", (row("cbc", AES256_GCM),), "cbc"),  # the bank's own word beats the holder's
        ("auto", (row("gcm"), row()), "cbc"),  # one who cannot read it decides
        ("gcm", (row(),), "gcm"),
        ("cbc", (row("gcm"),), "cbc"),
        ("auto", (row(capabilities=b"\x30\xff"),), "cbc"),
    ],
)
def test_choice_of_the_content_cipher(wanted: str, rows: tuple[CertificateRow, ...], cipher: str) -> None:
    assert choose_cipher(wanted, rows) == cipher  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "oaep"),
    [((row(),), False), ((row("gcm"),), True), ((row("gcm"), row()), False), ((row("cbc"),), False)],
)
def test_choice_of_the_key_transport(rows: tuple[CertificateRow, ...], oaep: bool) -> None:
    assert choose_oaep(rows) is oaep


@pytest.mark.parametrize(
    "header",
    [
        {"From": "x"},
        {"Sealgate-Verdict": "trusted"},
        {"Content-Type": "text/html"},
        {"X-A": "b\r\nBcc: c"},
        {"X A": "b"},
        {"X-Ü": "b"},
        {"": "b"},
    ],
)
def test_a_label_cannot_forge_a_field(header: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        LabelParams.model_validate({"header": header})
