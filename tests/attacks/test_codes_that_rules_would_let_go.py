"""Whatever a bank writes into its rules, and whatever mode it runs in, no one-time code leaves readable or waits.

The policies are files that load without a complaint; the demo's bank carries them out. What reached the next hop is
looked at for the code's own words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.app.codes.service import load_codes
from gateway.demo.bank import Ports
from gateway.errors import GatewayError, Reason
from gateway.ports.services.codes import CodeState
from gateway.services.codes.issue_and_verify import Codes
from gateway.services.codes.order import Order
from gateway.services.codes.transaction import Money, Payee, Payment
from tests.support.bank import Context, context
from tests.support.process import demo_bank

RULE = """
version: 1
rules:
  - name: careless
    when: {{direction: {direction}, client: online-banking, from: otp@bank.example}}
    {then}
    end: {end}
    cases:
      - given: {{direction: {direction}, client: online-banking, from: otp@bank.example, recipient: {to},
                certificate: enrolled}}
        expect: {{end: {end}}}
otherwise: deliver
"""
SEALED = "sign: {with: otp}, encrypt: {certificates: enrolled, without_certificate: reject}"
ANNA = "anna@customer.example"
PAID = Payment(Money.of("1234.50", "EUR"), Payee.of("Stadtwerke", "DE89370400440532013000"))


def careless(tmp_path: Path, then: str = SEALED, end: str = "deliver"):
    path = tmp_path / "careless.yaml"
    steps = f"then: {{{then}}}" if then else ""
    path.write_text(RULE.format(direction="outbound", then=steps, end=end, to=ANNA), "utf-8")
    return {"policies": (path,)}


@pytest.mark.parametrize("then, end, reason", [
    ("sign: {with: otp}", "deliver", Reason.POLICY_REJECTED),
    ("", "deliver", Reason.POLICY_REJECTED),
    (SEALED, "hold", Reason.POLICY_HELD),
    (SEALED, "quarantine", Reason.POLICY_HELD),
    ("", "reject", Reason.POLICY_REJECTED),
    ("", "defer", Reason.POLICY_DEFERRED),
])
def test_no_rule_lets_a_code_go_or_wait(tmp_path: Path, then: str, end: str, reason: Reason) -> None:
    refused(tmp_path, careless(tmp_path, then, end), reason)


def test_no_rule_at_all_lets_no_code_go(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("version: 1\nrules: []\notherwise: deliver\n", "utf-8")
    refused(tmp_path, {"policies": (path,)}, Reason.POLICY_REJECTED)


def test_while_the_gateway_only_observes_no_code_leaves(tmp_path: Path) -> None:
    refused(tmp_path, careless(tmp_path) | {"mode": "observe"}, Reason.POLICY_REJECTED)


def test_the_same_rule_as_it_should_be_lets_it_go(tmp_path: Path) -> None:
    """The tests above would pass with a bank that sends nothing at all."""
    with opened(tmp_path, careless(tmp_path)) as (bank, codes):
        codes.issue("online-banking", Order("10001", "payment", PAID))
        assert b"pkcs7-mime" in bank.outbound.octets_for(ANNA)


def refused(tmp_path: Path, update: dict[str, object], reason: Reason) -> None:
    with opened(tmp_path, update) as (bank, codes):
        with pytest.raises(GatewayError) as caught:
            codes.issue("online-banking", Order("10001", "payment", PAID))
        assert caught.value.reason is reason
        assert (bank.outbound.taken, bank.inbound.taken) == ([], [])
        assert bank.gateway.store.hold.list() == ()
        (row,) = bank.gateway.store.codes.of_customer("10001", 9)
        assert row.state is CodeState.CANCELLED


@contextmanager
def opened(tmp_path: Path, update: dict[str, object]) -> Iterator[tuple[Context, Codes]]:
    """The bank with these settings, and its codes."""
    demo_bank(tmp_path / "home", Ports())
    with context(tmp_path / "home", lambda settings: settings.model_copy(update=update)) as bank:
        yield bank, load_codes(bank.gateway._loaded.settings, bank.gateway, lambda _: None)
