"""The bank's domains at the doors: relay and milter know them in each spelling, as the pipeline does."""

import pytest

from gateway.frontends.milter.transaction import Rules
from tests.support.mta import shared
from tests.support.smtp import Taker, Talk, relay, settings

DOMAINS = ["Stra\u00dfe.example", "xn--mller-kva.example", "Bank.test"]


@pytest.mark.parametrize(("recipient", "ours"), [
    ("a@xn--strae-oqa.example", True), ("a@STRA\u00dfE.example", True), ("a@m\u00fcller.example", True),
    ("a@bank.TEST", True), ("a@strasse.example", False), ("a@muller.example", False),
])
def test_the_banks_domains_are_known_in_each_spelling(recipient: str, ours: bool) -> None:
    bank = {"domains": DOMAINS, "hostname": "gw.bank.test"}
    rules: Rules = shared(Taker(), bank=bank).rules
    assert rules.owns(recipient) is ours
    with relay(Taker(), settings(bank=bank)) as at, Talk(at["in"]) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<eve@else.test> SMTPUTF8").startswith("250")
        assert talk.say(f"RCPT TO:<{recipient}>".encode()).startswith("250" if ours else "550")
