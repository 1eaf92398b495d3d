"""Who says that he is somebody: forged, smuggled, carried over and worn-out identities by XFORWARD, XCLIENT and proofs.

The prize is to be signed for as one of the bank's systems. Attackers: a stranger who reaches the port; a stranger
behind the bank's own Postfix, whose HELO, name and mail are what he likes; another tenant of the same mail service.
Truth: no mail of theirs becomes a client's; Postfix's XFORWARD_README and XCLIENT_README say who may tell of whom.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.frontends.clients import among
from gateway.frontends.smtp.connection import COMMAND_OCTETS_MAX_OF
from gateway.frontends.smtp.forwarded import VALUE_CHARS_MAX, XFORWARD, parse
from gateway.frontends.telemetry import logs
from gateway.settings import Settings
from tests.support.bank import Context, context
from tests.support.smtp import Taker, Talk, relay, settings

CONTENT = b"Subject: x\r\n\r\nhi\r\n"
VICTIM = b"192.0.2.10"  # the address of the bank's system


def front(**listener: Any) -> Settings:
    """Postfix at 127.0.0.1, whom we believe; the system behind it; and nobody else."""
    peers = {"xforward_peers": ["127.0.0.1/32"], "xclient_peers": ["127.0.0.1/32"], **listener}
    return settings(
        passwords="clients.passwd",
        listeners=[{"name": "out", "role": "outbound", "port": 0, **peers},
                   {"name": "lmtp", "role": "outbound", "port": 0, "protocol": "lmtp", **peers}],
        clients=[{"name": "system", "networks": ["192.0.2.10/32"], "logins": ["system"], "from": ["*@bank.test"]}],
    )


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Iterator[list[dict[str, object]]]:
    """The log so far, when it is looped over."""
    logs.configure("debug")

    class Lines(list[dict[str, object]]):
        def __iter__(self) -> Iterator[dict[str, object]]:
            return iter([json.loads(line) for line in capfd.readouterr().err.splitlines()])

    yield Lines()
    structlog.reset_defaults()


# A stranger who reaches the port


@pytest.mark.parametrize("command", [
    b"XFORWARD ADDR=" + VICTIM, b"XFORWARD SOURCE=LOCAL", b"xforward addr=" + VICTIM, b"XCLIENT ADDR=" + VICTIM,
    b"XCLIENT LOGIN=system", b"XCLIENT ADDR=" + VICTIM + b" LOGIN=system",
])
@pytest.mark.parametrize("listener", ["out", "lmtp"])
def test_an_unlisted_peer_names_nobody(command: bytes, listener: str) -> None:
    taker = Taker()
    with relay(taker, front()) as at, Talk(at[listener], peer="127.0.0.2") as talk:
        talk.reply()
        offered = talk.say(b"LHLO x" if listener == "lmtp" else b"EHLO x")
        assert "XFORWARD" not in offered
        assert "XCLIENT" not in offered
        assert talk.say(command).startswith("550 5.7.0")
        assert talk.mail(CONTENT).startswith(("554 5.7.1", "530"))
    assert taker.mails == []


def test_nothing_of_a_strangers_attributes_is_read() -> None:
    """Authority comes before syntax: what a stranger sends is not even looked at."""
    with relay(Taker(), front()) as at, Talk(at["out"], peer="127.0.0.2") as talk:
        talk.greet()
        for bad in (b"XFORWARD", b"XFORWARD ADDR=+", b"XCLIENT COLOUR=red", b"XFORWARD " + b"A" * 8_000):
            assert talk.say(bad).startswith("550 5.7.0")


def test_a_name_gives_nothing() -> None:
    """The name that EHLO or XCLIENT NAME= gives, a Received in the mail: none of them is an address."""
    with relay(Taker(), front()) as at:
        for command in (b"XCLIENT NAME=system.bank.test", b"XCLIENT HELO=[192.0.2.10]"):
            with Talk(at["out"]) as talk:
                talk.greet(b"[192.0.2.10]")
                assert talk.say(command).startswith("220")
                talk.say(b"EHLO [192.0.2.10]")
                content = b"Received: from system ([192.0.2.10]) by mx; x\r\n" + CONTENT
                assert talk.mail(content).startswith(("554 5.7.1", "530"))


@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1", "::FFFF:7f00:1"])
def test_a_listed_peer_is_known_in_either_form(peer: str) -> None:
    """A socket for both families shows IPv4 peers as mapped ones."""
    assert among(peer, ("127.0.0.1/32",))


@pytest.mark.parametrize("peer", ["", "unknown", "::1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "127.0.0.2"])
def test_what_only_looks_like_it_is_not(peer: str) -> None:
    """IPv4-compatible, NAT64 and 6to4 addresses are somebody else's."""
    assert not among(peer, ("127.0.0.1/32",))


@pytest.mark.parametrize("told", [
    b"::192.0.2.10", b"IPV6:64:ff9b::c000:20a", b"IPV6:2002:c000:20a::1", b"192.0.2.11",
])
def test_an_address_that_only_looks_like_the_systems(told: bytes) -> None:
    with relay(Taker(), front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XFORWARD ADDR=" + told).startswith("250")
        assert talk.mail(CONTENT).startswith(("554 5.7.1", "530"))


@pytest.mark.parametrize("told", [
    b"192.0.2.10,203.0.113.7", b"192.0.2.010", b"0xC000020A", b"3221225994", b"192.0.2.10%eth0", b"192.0.2.10/32",
    b"192.0.2.10+00", b"192.0.2.10+0D+0A", b"[192.0.2.10]", b"+31+39+32.0.2.10+20", b"IPV6:::ffff:192.0.2.10%251",
])
def test_an_address_that_could_be_read_in_two_ways_is_none(told: bytes) -> None:
    with relay(Taker(), front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XFORWARD ADDR=" + told).startswith("501")
        assert talk.mail(CONTENT).startswith(("554 5.7.1", "530"))


# A stranger behind Postfix: his HELO and his name are what he likes


@pytest.mark.parametrize("helo", [
    b"x+0D+0AXFORWARD+20ADDR=192.0.2.10", b"x+20ADDR=192.0.2.10", b"x+20SOURCE=LOCAL", b"x+00ADDR=192.0.2.10",
    b"x+0D+0AMAIL+20FROM:<a@bank.test>", b"x=ADDR=192.0.2.10",
])
def test_nothing_is_smuggled_in_a_value(helo: bytes, lines: list[dict[str, object]]) -> None:
    """What comes out of xtext is a value and is never read again: no second attribute, command or log line."""
    taker = Taker()
    with relay(taker, front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XFORWARD ADDR=203.0.113.7 HELO=" + helo).startswith("250")
        assert talk.mail(CONTENT).startswith(("554 5.7.1", "530"))
        talk.say(b"RSET")
        assert talk.say(b"XFORWARD ADDR=192.0.2.10 IDENT=" + helo).startswith("250")
        assert talk.mail(CONTENT).startswith("250")
    [mail] = taker.mails
    assert all(char.isprintable() for char in mail.origin.queue_id or "x")
    assert b"203.0.113.7" not in mail.octets
    assert [line["queue_id"] for line in lines if line["event"] == "mail"] == [mail.origin.queue_id]


def test_xtext_bombs_stay_small() -> None:
    """A line is at most so long, a value shorter still, and each octet of it is walked once."""
    most = COMMAND_OCTETS_MAX_OF["XFORWARD"] - len("XFORWARD HELO=\r\n")
    for bomb in ("+2B" * (most // 3), "+" * most, "x" * most, "+C3" * (most // 3)):
        with relay(Taker(), front()) as at, Talk(at["out"]) as talk:
            talk.greet()
            assert talk.say(b"XFORWARD HELO=" + bomb.encode()).startswith(("250", "501"))
            assert talk.say(b"NOOP").startswith("250")
    assert len(parse(f"HELO={'+2B' * (most // 3)}", XFORWARD, None).helo or "") == VALUE_CHARS_MAX


def test_a_value_that_breaks_the_command_gains_nothing() -> None:
    """Postfix goes on to MAIL when XFORWARD is refused: the mail must not be the mail server's own then."""
    values = front().model_copy(update={"clients": settings().clients})  # the peer itself is a client
    for refused in (b"XFORWARD ADDR=203.0.113.7 HELO=+", b"XFORWARD HELO=" + b"x" * 9_000, b"XFORWARD HELO=\xff"):
        with relay(Taker(), values) as at, Talk(at["out"]) as talk:
            talk.greet()
            assert talk.say(refused).startswith("50")
            assert talk.mail(CONTENT).startswith("554 5.7.1")


def test_the_next_mail_of_the_connection_is_not_the_systems() -> None:
    """Postfix keeps connections: what was told of one mail is over with it, however it ended."""
    endings: tuple[tuple[bytes, ...], ...] = ((b"RSET",), (b"EHLO mx.test",), ())
    for ending in endings:
        with relay(Taker(), front()) as at, Talk(at["out"]) as talk:
            talk.greet()
            assert talk.say(b"XFORWARD ADDR=192.0.2.10").startswith("250")
            assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("250")
            if not ending:
                assert talk.say(b"RCPT TO:<x@else.test>").startswith("250")
                assert talk.say(b"DATA").startswith("354")
                talk.send(b"a bare\nline\r\n.\r\n")
                assert talk.reply().startswith("550")
            for command in ending:
                talk.say(command)
            assert talk.mail(CONTENT).startswith(("554 5.7.1", "530"))


def test_the_client_does_not_change_within_a_mail() -> None:
    """Not by a second naming, and not by a line that nobody understands."""
    taker = Taker()
    with relay(taker, front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"XFORWARD ADDR=192.0.2.10")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("250")
        assert talk.say(b"XFORWARD ADDR=203.0.113.7").startswith("503")
        assert talk.say(b"XCLIENT ADDR=203.0.113.7").startswith("503")
        assert talk.say(b"RCPT TO:<" + b"x" * 9_000).startswith("500")
        assert talk.say(b"RCPT TO:<x@else.test>").startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(CONTENT + b".\r\n")
        assert talk.reply().startswith("250")
    assert taker.mails[0].origin.client == "system"


@pytest.mark.parametrize("told", [b"ADDR=203.0.113.7 SOURCE=LOCAL", b"SOURCE=LOCAL ADDR=203.0.113.7"])
def test_mail_from_elsewhere_is_not_local_because_it_says_so(told: bytes) -> None:
    """Postfix says LOCAL of whoever is in local_header_rewrite_clients, too: the address decides."""
    values = front().model_copy(update={"clients": settings().clients})
    with relay(Taker(), values) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XFORWARD " + told).startswith("250")
        assert talk.mail(CONTENT).startswith("554 5.7.1")


def test_what_a_filter_found_is_believed_of_the_peer_alone(tmp_path: Path) -> None:
    """Authentication-Results count where the filter itself hands the mail in, not where it is told of."""
    forged = b"Authentication-Results: filter.bank.example; dmarc=pass header.from=else.test\r\n"
    with context(tmp_path / "bank") as bank:
        values = settings(
            bank={"domains": ["bank.example"], "hostname": "gw.bank.test"},
            listeners=[{"name": "inbound", "role": "inbound", "port": 0, "xforward_peers": ["127.0.0.1/32"],
                        "trusted_peers": ["127.0.0.9/32"]}])
        assert _results(bank, values, forged, b"XFORWARD ADDR=127.0.0.9", "127.0.0.1") == 0
        assert _results(bank, values, forged, b"NOOP", "127.0.0.1") == 0
        assert _results(bank, values, forged, b"NOOP", "127.0.0.9") == 1, "else this would prove nothing"


def _results(bank: Context, values: Settings, forged: bytes, command: bytes, peer: str) -> int:
    """How many of the forged results a mailbox gets."""
    content = b"From: eve@else.test\r\n" + forged + b"Subject: pay\r\n\r\nnow\r\n"
    bank.inbound.taken.clear()
    with relay(bank.gateway.handle, values) as at, Talk(at["inbound"], peer=peer) as talk:
        talk.greet()
        assert talk.say(command).startswith("250")
        assert talk.mail(content, sender=b"eve@else.test", to=(b"support@bank.example",)).startswith("250")
    (_, octets, _), = bank.inbound.taken
    return octets.count(b"filter.bank.example; dmarc=pass")
