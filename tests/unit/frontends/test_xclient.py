"""XCLIENT over real sockets: the session becomes that of the client whom a listed proxy names.

Truth: Postfix's XCLIENT_README: attributes, xtext, replies (220 as at the beginning, 501, 503, 550), a dialogue that
begins anew.
"""

from pathlib import Path
from typing import Any

import pytest

from gateway.model.mail import Origin
from tests.support.smtp import Taker, Talk, relay, settings
from tests.support.tls import make_tls

CONTENT = b"Subject: x\r\n\r\nhi\r\n"
OFFERED = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"


def with_proxy(**listener: Any) -> Any:
    """`app` by its address, `portal` by its login; `front` is the proxy itself."""
    peers = {"xclient_peers": ["127.0.0.1/32"], **listener}
    return settings(
        passwords="clients.passwd",
        listeners=[
            {"name": "out", "role": "outbound", "port": 0, **peers},
            {"name": "in", "role": "inbound", "port": 0, **peers},
        ],
        clients=[
            {"name": "app", "networks": ["192.0.2.10/32"], "from": ["*@bank.test"]},
            {"name": "portal", "logins": ["portal"], "from": ["*@bank.test"]},
            {"name": "front", "networks": ["127.0.0.0/8"], "from": ["*@bank.test"]},
        ],
    )


def origin(*attributes: bytes) -> Origin | str:
    """Where a mail comes from after these; the reply to MAIL if it was refused."""
    taker = Taker()
    with relay(taker, with_proxy()) as at, Talk(at["out"]) as talk:
        assert OFFERED in talk.greet(b"proxy.test")
        for one in attributes:
            assert talk.say(b"XCLIENT " + one) == "220 gw.bank.test ESMTP"
        talk.say(b"EHLO app.bank.test")
        reply = talk.mail(CONTENT)
        return taker.mails[0].origin if reply.startswith("250") else reply


@pytest.mark.parametrize(("attributes", "client", "peer", "login"), [
    ((b"ADDR=192.0.2.10 NAME=app.bank.test PORT=40000",), "app", "192.0.2.10", None),
    ((b"ADDR=198.51.100.7 LOGIN=portal",), "portal", "198.51.100.7", "portal"),
    ((b"LOGIN=portal", b"ADDR=198.51.100.7"), "portal", "198.51.100.7", "portal"),
    ((b"ADDR=192.0.2.10 LOGIN=nobody",), "app", "192.0.2.10", "nobody"),
    ((b"ADDR=::ffff:192.0.2.10 DESTADDR=192.0.2.1 DESTPORT=25 PROTO=ESMTP",), "app", "192.0.2.10", None),
    ((b"NAME=app.bank.test",), "front", "127.0.0.1", None),
])
def test_the_session_is_the_clients(
    attributes: tuple[bytes, ...], client: str, peer: str, login: str | None,
) -> None:
    found = origin(*attributes)
    assert isinstance(found, Origin)
    assert (found.client, found.peer, found.login, found.helo) == (client, peer, login, "app.bank.test")


@pytest.mark.parametrize("attributes", [
    (b"ADDR=198.51.100.7",), (b"ADDR=[UNAVAILABLE]",), (b"ADDR=198.51.100.7 LOGIN=nobody",),
    (b"ADDR=198.51.100.7 LOGIN=[UNAVAILABLE]",), (b"LOGIN=portal", b"ADDR=198.51.100.7 LOGIN=[UNAVAILABLE]"),
])
def test_a_stranger_does_not_become_the_proxy(attributes: tuple[bytes, ...]) -> None:
    assert str(origin(*attributes)).startswith(("554 5.7.1", "530"))


@pytest.mark.parametrize("second", [b"ADDR=198.51.100.7", b"NAME=else.test", b"ADDR=198.51.100.7 HELO=else.test"])
def test_the_next_client_of_a_connection_has_not_the_login_of_the_one_before(second: bytes) -> None:
    with relay(taker := Taker(), with_proxy()) as at, Talk(at["out"]) as talk:
        talk.greet(b"proxy.test")
        for attributes, expected in ((b"ADDR=198.51.100.6 LOGIN=portal", "250"), (second, "5")):
            assert talk.say(b"XCLIENT " + attributes).startswith("220")
            talk.say(b"EHLO app.bank.test")
            assert talk.mail(CONTENT).startswith(expected)
    assert [one.origin.login for one in taker.mails] == ["portal"]


def test_received_names_the_client() -> None:
    taker = Taker()
    with relay(taker, with_proxy()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"XCLIENT ADDR=192.0.2.10")
        talk.say(b"EHLO app.bank.test")
        talk.mail(CONTENT)
    assert taker.mails[0].octets.startswith(b"Received: from app.bank.test ([192.0.2.10])")


def test_the_dialogue_begins_anew() -> None:
    with relay(Taker(), with_proxy()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XCLIENT ADDR=192.0.2.10").startswith("220")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("503 5.5.1 Send HELO")


def test_not_within_a_mail() -> None:
    with relay(Taker(), with_proxy()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<a@bank.test>")
        assert talk.say(b"XCLIENT ADDR=192.0.2.10").startswith("503")


@pytest.mark.parametrize("bad", [
    b"XCLIENT", b"XCLIENT ADDR=app", b"XCLIENT SOURCE=LOCAL", b"XCLIENT IDENT=Q1", b"XCLIENT LOGIN=a+00b",
    b"XCLIENT LOGIN=a+0D+0Ab", b"XCLIENT LOGIN=+C3+A9", b"XCLIENT DESTPORT=x", b"XCLIENT PROTO=", b"XCLIENT LOGIN="
    + b"x" * 256,
])
def test_what_is_no_attribute_is_501_and_leaves_nobody(bad: bytes) -> None:
    with relay(Taker(), with_proxy()) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(bad).startswith("501 5.5.4")
        talk.say(b"EHLO app.bank.test")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith(("554 5.7.1", "530"))
        assert talk.say(b"XCLIENT ADDR=192.0.2.10").startswith("220")
        talk.say(b"EHLO app.bank.test")
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("250")


def test_it_is_not_offered_to_others() -> None:
    with relay(Taker(), with_proxy()) as at, Talk(at["out"], peer="127.0.0.2") as talk:
        assert "XCLIENT" not in talk.greet()
        assert talk.say(b"XCLIENT ADDR=192.0.2.10 LOGIN=portal") == "550 5.7.0 Insufficient authorisation"


def test_it_gives_no_right_to_do_it_again_as_the_client() -> None:
    """Whether XCLIENT is taken depends on the peer, never on whom it names."""
    with relay(Taker(), with_proxy(xclient_peers=["192.0.2.10/32"])) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XCLIENT ADDR=192.0.2.10").startswith("550")


def test_where_tls_is_required_it_comes_after_it(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    values = with_proxy(tls="starttls", tls_required=True, certificate=tls.server, key=tls.server_key)
    taker = Taker()
    with relay(taker, values, verify=lambda login, password: False) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.say(b"XCLIENT ADDR=192.0.2.10").startswith("530")
        talk.start_tls(tls.trusting())
        talk.say(b"EHLO proxy.test")
        assert talk.say(b"XCLIENT ADDR=192.0.2.10 LOGIN=portal").startswith("220")
        talk.say(b"EHLO app.bank.test")
        assert talk.say(b"AUTH PLAIN AGEAYg==").startswith("503"), "it has logged in already"
        assert talk.mail(CONTENT).startswith("250")
    assert (taker.mails[0].origin.client, taker.mails[0].origin.tls) == ("portal", True)


@pytest.mark.parametrize("command", [b"XCLIENT ADDR=198.51.100.7", b"XFORWARD ADDR=198.51.100.7"])
def test_the_certificate_of_the_one_in_front_is_not_the_clients(tmp_path: Path, command: bytes) -> None:
    """A proxy or mail server that shows a client's certificate itself lends it to nobody of whom it tells."""
    tls = make_tls(tmp_path)
    listener = {"name": "out", "role": "outbound", "port": 0, "tls": "starttls", "certificate": tls.server,
                "key": tls.server_key, "client_ca": tls.ca, "xclient_peers": ["127.0.0.1/32"],
                "xforward_peers": ["127.0.0.1/32"]}
    values = settings(
        listeners=[listener], clients=[{"name": "front", "tls_certificates": [tls.fingerprint], "from": ["*"]}])
    for named in (False, True):
        with relay(Taker(), values) as at, Talk(at["out"]) as talk:
            talk.greet()
            talk.start_tls(tls.trusting(as_client=True))
            talk.say(b"EHLO front.test")
            if named:
                assert talk.say(command).startswith(("220", "250"))
                if command.startswith(b"XCLIENT"):
                    talk.say(b"EHLO client.test")
            assert talk.mail(CONTENT)[:3] == ("554" if named else "250")
