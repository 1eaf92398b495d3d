"""XFORWARD over real sockets: who is told of, of whom it is believed, how long it holds.

Truth: Postfix's XFORWARD_README (commands, attributes, xtext, replies 250, 501, 503, 550; attributes are forgotten at
the end of each mail) and RFC 3461 4 (xtext). That a real Postfix speaks it so: tests/e2e/test_lmtp_after_queue.py.
"""

from typing import Any

import pytest

from gateway.frontends.smtp.forwarded import NOBODY, XFORWARD, Forwarded, parse
from gateway.frontends.smtp.paths import RefusedCommandError
from gateway.model.mail import Origin
from tests.support.smtp import Taker, Talk, relay, settings

CONTENT = b"Subject: x\r\n\r\nhi\r\n"
OFFERED = "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"


def with_front(**listener: Any) -> Any:
    """`app` is known by an address that only a mail server in front can tell of; `front` is that server itself."""
    peers = {"xforward_peers": ["127.0.0.1/32"], **listener}
    return settings(
        listeners=[
            {"name": "out", "role": "outbound", "port": 0, **peers},
            {"name": "lmtp", "role": "outbound", "port": 0, "protocol": "lmtp", **peers},
            {"name": "in", "role": "inbound", "port": 0, **peers},
        ],
        clients=[
            {"name": "app", "networks": ["192.0.2.10/32", "2001:db8::10/128"], "from": ["*@bank.test"]},
            {"name": "front", "networks": ["127.0.0.0/8"], "from": ["*@bank.test"]},
        ],
    )


def origin(*before: bytes, listener: str = "out") -> Origin | str:
    """Where a mail comes from after these commands; the reply to MAIL if it was refused."""
    taker = Taker()
    with relay(taker, with_front()) as at, Talk(at[listener]) as talk:
        talk.reply()
        assert OFFERED in talk.say(b"LHLO front.test" if listener == "lmtp" else b"EHLO front.test")
        for command in before:
            assert talk.say(command) == "250 2.0.0 Ok", command
        reply = talk.mail(CONTENT)
        return taker.mails[0].origin if reply.startswith("250") else reply


@pytest.mark.parametrize("listener", ["out", "lmtp"])
def test_the_client_is_who_is_told_of(listener: str) -> None:
    found = origin(b"XFORWARD NAME=app.bank.test ADDR=192.0.2.10 PORT=40000",
                   b"XFORWARD PROTO=ESMTP HELO=app IDENT=4F2A1 SOURCE=REMOTE", listener=listener)
    assert isinstance(found, Origin)
    assert (found.client, found.forwarded, found.queue_id) == ("app", "192.0.2.10", "4F2A1")
    assert found.peer == "127.0.0.1", "what is believed of results stays with the peer"
    assert found.helo == "front.test"


@pytest.mark.parametrize(("told", "client"), [
    (b"ADDR=IPV6:2001:db8::10", "app"),
    (b"ADDR=ipv6:2001:0DB8:0::10", "app"),
    (b"ADDR=IPV6:::ffff:192.0.2.10", "app"),
    (b"ADDR=::ffff:192.0.2.10", "app"),
    (b"addr=192.0.2.10 source=local", "app"),
    (b"IDENT=Q1", "front"),
    (b"HELO=x SOURCE=LOCAL", "front"),
    (b"ADDR=[UNAVAILABLE] SOURCE=LOCAL", "front"),
    (b"ADDR=+5BUNAVAILABLE+5D SOURCE=LOCAL", "front"),
])
def test_forms_of_an_address(told: bytes, client: str) -> None:
    found = origin(b"XFORWARD " + told)
    assert isinstance(found, Origin)
    assert found.client == client


@pytest.mark.parametrize("told", [
    b"ADDR=192.0.2.99",  # nobody's, although the peer itself is a client
    b"ADDR=[UNAVAILABLE]",
    b"ADDR=[TEMPUNAVAIL] SOURCE=REMOTE",
    b"SOURCE=REMOTE",
    b"SOURCE=[UNAVAILABLE]",
])
def test_a_stranger_does_not_become_the_mail_server(told: bytes) -> None:
    assert str(origin(b"XFORWARD " + told)).startswith("554 5.7.1")


def test_without_it_the_peer_is_the_client() -> None:
    found = origin()
    assert isinstance(found, Origin)
    assert (found.client, found.queue_id, found.forwarded) == ("front", None, "")


def test_received_names_the_peer() -> None:
    taker = Taker()
    with relay(taker, with_front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"XFORWARD ADDR=192.0.2.10 HELO=app")
        talk.mail(CONTENT)
    assert taker.mails[0].octets.startswith(b"Received: from client.test ([127.0.0.1])")


def test_it_holds_for_one_mail() -> None:
    taker = Taker()
    with relay(taker, with_front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"XFORWARD ADDR=192.0.2.10 IDENT=Q1")
        assert talk.mail(CONTENT).startswith("250")
        assert talk.mail(CONTENT).startswith("250")
        for ending in (b"RSET", b"EHLO again.test"):
            talk.say(b"XFORWARD ADDR=192.0.2.10")
            talk.say(ending)
            assert talk.mail(CONTENT).startswith("250")
    assert [one.origin.client for one in taker.mails] == ["app", "front", "front", "front"]
    assert [one.origin.queue_id for one in taker.mails] == ["Q1", None, None, None]


def test_a_refused_sender_keeps_it_and_a_new_one_begins_anew() -> None:
    """The peer may try another MAIL; what it tells of the next mail is not mixed with what it told of this one."""
    taker = Taker()
    with relay(taker, with_front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"XFORWARD ADDR=192.0.2.10 IDENT=Q1")
        assert talk.say(b"MAIL FROM:<eve@else.test>").startswith("550 5.7.1")
        assert talk.mail(CONTENT).startswith("250")
        talk.say(b"XFORWARD ADDR=192.0.2.10 IDENT=Q1")
        assert talk.say(b"MAIL FROM:<eve@else.test>").startswith("550 5.7.1")
        talk.say(b"XFORWARD SOURCE=LOCAL")
        assert talk.mail(CONTENT).startswith("250")
    assert [one.origin.client for one in taker.mails] == ["app", "front"]
    assert taker.mails[1].origin.queue_id is None


@pytest.mark.parametrize("bad", [
    b"XFORWARD", b"XFORWARD ADDR", b"XFORWARD ADDR=", b"XFORWARD =x", b"XFORWARD COLOUR=red",
    b"XFORWARD ADDR=192.0.2.10 ADDR=192.0.2.10", b"XFORWARD LOGIN=app", b"XFORWARD ADDR=192.0.2.010",
    b"XFORWARD ADDR=app.bank.test", b"XFORWARD ADDR=IPV6:192.0.2.10", b"XFORWARD ADDR=fe80::1%25eth0",
    b"XFORWARD PORT=0", b"XFORWARD PORT=65536", b"XFORWARD PORT=+31", b"XFORWARD SOURCE=HERE",
    b"XFORWARD HELO=a+2", b"XFORWARD HELO=a+", b"XFORWARD HELO=a+G0", b"XFORWARD PROTO=E+20SMTP",
    "XFORWARD HELO=ü".encode(),
])
def test_what_is_no_attribute_is_501_and_leaves_nobody(bad: bytes) -> None:
    """Postfix goes on after a 501. Then the client must not be taken for the mail server."""
    if bad == b"XFORWARD PORT=+31":  # xtext of '1'
        assert parse("PORT=+31", XFORWARD, None) == Forwarded()
        return
    with relay(Taker(), with_front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(bad) == "501 5.5.4 An attribute is unknown, is repeated or has a bad value"
        assert talk.say(b"XFORWARD SOURCE=LOCAL IDENT=Q1") == "250 2.0.0 Ok"
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("554 5.7.1")
        assert talk.say(b"RSET").startswith("250")
        assert talk.say(b"XFORWARD ADDR=192.0.2.10").startswith("250")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("250")


@pytest.mark.parametrize("line", [
    b"XFORWARD HELO=" + b"x" * 8_192, b"XFORWARD HELO=\xff\xfe", b"XFORWARD HELO=a\0b", b"XFORWARD HELO=a\rb",
])
def test_a_line_that_was_no_command_leaves_nobody(line: bytes) -> None:
    with relay(Taker(), with_front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(line).startswith("500")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("554 5.7.1")


def test_not_within_a_mail() -> None:
    with relay(Taker(), with_front()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<a@bank.test>")
        assert talk.say(b"XFORWARD ADDR=192.0.2.10").startswith("503")


def test_on_an_inbound_listener_nobody_is_ours() -> None:
    taker = Taker()
    with relay(taker, with_front()) as at, Talk(at["in"]) as talk:
        talk.greet()
        assert talk.say(b"XFORWARD ADDR=192.0.2.10 IDENT=Q1").startswith("250")
        assert talk.mail(CONTENT, to=(b"x@else.test",)).startswith("550")
        talk.say(b"RSET")
        assert talk.say(b"XFORWARD ADDR=192.0.2.10 IDENT=Q1").startswith("250")
        assert talk.mail(CONTENT, to=(b"staff@bank.test",)).startswith("250")
    [mail] = taker.mails
    assert (mail.origin.ours, mail.origin.client, mail.origin.queue_id) == (False, None, "Q1")


@pytest.mark.parametrize(("told", "helo"), [
    ("HELO=app+0D+0AX", "app??X"), ("HELO=+C3+A9", "é"), ("HELO=+FF", "\ufffd"), (f"HELO={'x' * 300}", "x" * 255),
    ("HELO=[UNAVAILABLE]", ""), ("HELO=a=b", "a=b"),
])
def test_what_strangers_chose_is_made_harmless(told: str, helo: str) -> None:
    assert parse(told, XFORWARD, None).helo == helo


def test_nobody_stays_nobody() -> None:
    assert NOBODY.tells
    with pytest.raises(RefusedCommandError):
        parse("", XFORWARD, NOBODY)


def test_it_is_not_offered_to_others() -> None:
    taker = Taker()
    with relay(taker, with_front()) as at, Talk(at["out"], peer="127.0.0.2") as talk:
        assert "XFORWARD" not in talk.greet()
        assert talk.say(b"XFORWARD ADDR=192.0.2.10") == "550 5.7.0 Insufficient authorisation"
        assert talk.mail(CONTENT).startswith("250")
    assert taker.mails[0].origin.client == "front"
