"""Odd mails go through seal and open: nothing is lost, and what is refused has a reason that the sender can act on.

Truth: `tests/support/odd_mails.py`, which knows the texts in each mail, and `odd_reader.py`, which reads
the result without the gateway.
"""

from pathlib import Path

import pytest

from gateway.demo.bank import Ports
from gateway.errors import GatewayError, Reason
from gateway.frontends.replies import reply_for
from gateway.mime.canonical import seven_bit
from gateway.mime.header import parse_headers
from gateway.model.outcome import Settled
from gateway.model.sentences import SENTENCES
from gateway.smime.open import open_mail
from tests.properties.test_seal_open import How, open_it, seal_it
from tests.support import odd_mails, sealed
from tests.support.bank import context
from tests.support.odd_mails import TEXT, Odd, header
from tests.support.odd_reader import everything_seen
from tests.support.pki import NOW
from tests.support.process import demo_bank

GENERATED = 500
WAYS = (
    How(detached=True, stamped=False, protected=True, to="p-256"),
    How(detached=True, stamped=False, protected=False),
    How(detached=False, stamped=False, protected=True, to="p-256", cipher="gcm"),
    How(detached=True, stamped=False, protected=True),
)
BY_HAND = odd_mails.by_hand()


def lost(texts: tuple[str, ...], octets: bytes) -> list[str]:
    seen = everything_seen(octets)
    flat = " ".join(seen.split())
    return [text for text in texts if text not in seen and " ".join(text.split()) not in flat]


def survives(odd: Odd, how: How) -> None:
    assert lost(odd.seen, open_it(seal_it(odd.octets, how), how).octets) == [], how


def test_there_are_enough_of_them() -> None:
    assert len(BY_HAND) >= 200


@pytest.mark.parametrize("table", ["subject", "address", "name", "body", "tree"])
def test_nothing_is_lost_of_odd_mails(table: str) -> None:
    failed = {}
    for number, (name, odd) in enumerate(BY_HAND.items()):
        if name.startswith(table):
            for how in (WAYS[0], WAYS[1 + number % 3]):
                try:
                    survives(odd, how)
                except (AssertionError, GatewayError) as trouble:
                    failed[name, str(how)] = (str(trouble)[:300], odd.octets[:300])
    assert failed == {}


@pytest.mark.parametrize("first", range(0, GENERATED, 100))
def test_nothing_is_lost_of_generated_mails(first: int) -> None:
    failed = {}
    for seed in range(first, first + 100):
        try:
            survives(odd_mails.generated(seed), WAYS[seed % len(WAYS)])
        except (AssertionError, GatewayError) as trouble:
            failed[seed] = str(trouble)[:300]
    assert failed == {}


def test_nothing_is_lost_of_odd_mails_of_customers() -> None:
    """The same as the content of a customer's signature: the gateway re-encodes what SMTP cannot carry."""
    failed = {}
    for name, odd in BY_HAND.items():
        if not name.startswith("body"):
            continue
        content = b"".join(
            field.raw for field in parse_headers(odd.octets).fields if field.lower.startswith(("content-", "x-only"))
        )
        content += b"\r\n" + odd.octets[parse_headers(odd.octets).body_offset :]
        opened = open_mail(sealed.message(sealed.signed(content, sealed.anna(), opaque=True)), [], sealed.judge(), NOW)
        if missing := lost(odd.seen, opened.octets):
            failed[name] = missing
    assert failed == {}


LONG = b"x" * 1000
REFUSED = {
    "a NUL in the header": (header(b"X: a\0b") + b"\r\nx\r\n", Reason.MAIL_NUL),
    "a CR in the header": (header(b"X: a\rb") + b"\r\nx\r\n", Reason.MAIL_BARE_NEWLINE),
    "an address of 1,000 octets": (header(b"To: " + LONG + b"@y.example") + b"\r\nx\r\n", Reason.MAIL_FIELD_TOO_LONG),
    "a Message-ID of 1,000 octets": (
        header(b"Message-ID: <" + LONG + b"@y>") + b"\r\nx\r\n",
        Reason.MAIL_FIELD_TOO_LONG,
    ),
    "101 parts inside each other": (
        header() + b"Content-Type: message/rfc822\r\n\r\n" * 102 + b"\xe4\r\n",
        Reason.INPUT_LIMIT_EXCEEDED,
    ),
    "6,000 fields": (header() + b"X: y\r\n" * 6000 + b"\r\n\xe4\r\n", Reason.INPUT_LIMIT_EXCEEDED),
}


# A client speaks only for its own addresses, so the gateway must know which one it is.
FROM_REFUSED = (
    (header(from_=b"") + TEXT, Reason.FROM_MISSING),
    (header(from_=b"me") + TEXT, Reason.FROM_AMBIGUOUS),
    (header(from_=b"otp@bank.example, otp@bank.example") + TEXT, Reason.FROM_AMBIGUOUS),
    (b"\xef\xbb\xbf" + header() + TEXT, Reason.FROM_MISSING),
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_a_reason_that_the_sender_can_act_on(name: str) -> None:
    octets, reason = REFUSED[name]
    with pytest.raises(GatewayError) as caught:
        seven_bit(octets)
    assert (caught.value.reason, caught.value.retry) == (reason, False)
    assert SENTENCES[reason].remedy


def test_the_outbound_way_takes_every_odd_mail(tmp_path: Path) -> None:
    """With facts, rules and groups, which read fields that sealing only copies."""
    demo_bank(tmp_path / "home", Ports())
    refused = {}
    with context(tmp_path / "home") as bank:
        for name, odd in BY_HAND.items():
            octets = odd.octets.replace(odd_mails.AUTHOR.encode(), b"otp@bank.example")
            octets = octets.replace(b"<1@bank.example>", b"<" + name.replace(" ", ".").encode() + b"@bank.example>")
            outcome = bank.gateway.handle(bank.send(octets, "anna@customer.example"))
            if outcome.answer is not Settled.TAKEN:
                refused[name] = str(outcome.reason)
            else:
                assert bank.outbound.octets_for("anna@customer.example")
                bank.outbound.taken.clear()
        assert refused == {}
        for octets, reason in (*REFUSED.values(), *FROM_REFUSED):
            if reason is Reason.MAIL_BARE_NEWLINE:  # SMTP has refused it before
                continue
            mail = bank.send(octets.replace(odd_mails.AUTHOR.encode(), b"otp@bank.example"), "anna@customer.example")
            outcome = bank.gateway.handle(mail)
            assert (outcome.answer, outcome.reason) == (Settled.REFUSED, reason)
            said = "".join(reply_for(outcome, permitted=True).texts)
            assert SENTENCES[reason].what in said
            assert SENTENCES[reason].remedy in said
        assert bank.outbound.taken == []
