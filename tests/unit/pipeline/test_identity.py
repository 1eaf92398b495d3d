"""What a mail says of its signer's identity, end to end: header, trust card, policy; and authorities nobody knows.

Truth: the house's rule that bank_enrolled comes from the binding of the very certificate, never from a name.
"""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.pipeline.inbound.trust_card import read as read_card
from tests.support.bank import Context, context
from tests.support.bank import policy as one_policy
from tests.support.pki import get_pki
from tests.support.sealed import message, signed
from tests.unit.pipeline.test_inbound import arrived, sealed

BY_LEVEL = """
version: 1
rules:
  - name: enrolled
    when: {direction: inbound, signer: {level: bank_enrolled, matches_from: true}}
    then: {label: {subject_tag: "[enrolled]"}, form: opened}
    cases:
      - given: {direction: inbound, signature: valid, signer: {level: [bank_enrolled, "1.2.3.4"]}}
        expect: {rule: enrolled}
  - name: own-policy
    when: {direction: inbound, signer: {level: ["1.2.3.4", V4]}}
    then: {label: {subject_tag: "[own]"}, form: opened}
    cases:
      - given: {direction: inbound, signature: valid, signer: {level: "1.2.3.4"}}
        expect: {rule: own-policy}
      - given: {direction: inbound, signature: valid, signer: {level: sponsor}}
        expect: {rule: own-policy}
otherwise: deliver
"""


def test_an_enrolled_signer_is_told_by_the_binding(bank: Context) -> None:
    octets = arrived(bank, sealed(bank))
    mail = message_from_bytes(octets, policy=policy.default)
    assert "level=bank_enrolled" in mail["Sealgate-Identity"]
    card = read_card(octets, bank.gateway.keys.public("trust:card").public, datetime.now(UTC))
    assert card["signer"]["level"] == ["bank_enrolled"]


def test_rules_speak_of_it(home: Path, tmp_path: Path) -> None:
    with context(home, change=one_policy(tmp_path / "level.yaml", BY_LEVEL)) as bank:
        mail = message_from_bytes(arrived(bank, sealed(bank)), policy=policy.default)
        assert mail["Subject"] == "[enrolled] A question"


def test_the_same_certificate_unbound_is_nobody_of_the_banks(bank: Context) -> None:
    store = bank.gateway.store
    kept = next(entry for entry in store.certificates.list(address="anna@customer.example"))
    assert store.certificates.binding(kept.row.sha256) is not None
    assert store.certificates.binding("0" * 64) is None


def strangers_mail(*, root: bool) -> bytes:
    """Somebody's signature below an authority that the bank has never heard of."""
    stranger = get_pki("Strangers").signer("p-256", email="eve@elsewhere.example")
    chain = (*stranger.chain_der, get_pki("Strangers").root.der) if root else stranger.chain_der
    return message(signed(b"Content-Type: text/plain\r\n\r\nhello\r\n", replace(stranger, chain_der=chain)),
                   from_="eve@elsewhere.example")


@pytest.mark.parametrize("root", [True, False])
def test_unknown_authorities_are_noted_after_the_mail(bank: Context, root: bool) -> None:
    octets = strangers_mail(root=root)
    for _ in range(2):
        bank.gateway.handle(bank.receive(octets + b"\r\n" * _, "support@bank.example"))
    (one,) = bank.gateway.store.authorities.list()
    assert (one.subject, one.count, one.example) == (
        get_pki("Strangers").root_certificate.subject, 2, "eve@elsewhere.example")
    assert one.der == (get_pki("Strangers").root.der if root else None)


def test_a_store_that_fails_harms_no_mail(bank: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "disk full", retry=True)

    monkeypatch.setattr(type(bank.gateway.store.authorities), "record", broken)
    outcome = bank.gateway.handle(bank.receive(strangers_mail(root=True), "support@bank.example"))
    assert outcome.answer in (Settled.TAKEN, Settled.REFUSED)


def test_who_is_enrolled_must_be_known_before_anything_is_decided(
    bank: Context, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that cannot tell defers the mail: one of a customer must not pass for a stranger's."""
    def broken(*_: object) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "locked", retry=True)

    monkeypatch.setattr(type(bank.gateway.store.certificates), "binding", broken)
    outcome = bank.gateway.handle(bank.receive(sealed(bank), "support@bank.example"))
    assert outcome.answer is Settled.LATER
    assert bank.inbound.taken == []


def test_the_command_lists_exports_trusts_and_ignores(home: Path, tmp_path: Path) -> None:
    with context(home) as bank:
        bank.gateway.handle(bank.receive(strangers_mail(root=True), "support@bank.example"))
    run = CliRunner().invoke
    config = ["--config", str(home / "sealgate.yaml"), "cert"]
    listed = run(application(["cert"]), [*config, "unknown"])
    root = get_pki("Strangers").root_certificate
    assert listed.exit_code == 0, listed.output
    assert root.sha256[:16] in listed.stdout
    assert "sealgate cert trust" in listed.stdout
    exported = run(application(["cert"]), [*config, "unknown", "--export", root.sha256[:16]])
    (tmp_path / "ca.pem").write_text(exported.stdout)
    for words in (["import", str(tmp_path / "ca.pem")], ["trust", root.sha256[:16], "--for", "signers"]):
        done = run(application(["cert"]), [*config, *words])
        assert done.exit_code == 0, done.output
    assert run(application(["cert"]), [*config, "unknown", "--json"]).stdout.strip() == "[]", "decided by trusting it"
    ignored = run(application(["cert"]), [*config, "unknown", "--ignore", root.sha256[:16]])
    assert "ignored from now on" in ignored.stderr
    assert run(application(["cert"]), [*config, "unknown", "--ignore", "00"]).exit_code == 2
