"""LMTP over real sockets: LHLO, and one answer for each accepted recipient.

Truth: RFC 2033 (4.1, 4.2, 5), RFC 2920 (pipelining), RFC 3848 and RFC 6531 4.3 (`with`), RFC 3461 (DSN).
"""

import re
import threading
from typing import Any

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.smtp.lmtp import Lmtp
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from tests.support.smtp import Taker, Talk, relay, settings, until

CONTENT = b"Subject: x\r\n\r\nhi\r\n"
THREE = (b"taken@else.test", b"refused@else.test", b"later@else.test")


def lmtp(**limits: Any) -> Any:
    return settings(
        listeners=[
            {"name": "out", "role": "outbound", "port": 0, "protocol": "lmtp"},
            {"name": "in", "role": "inbound", "port": 0, "protocol": "lmtp"},
            {"name": "smtp", "role": "outbound", "port": 0},
        ],
        **({"limits": limits} if limits else {}),
    )


def greeted(talk: Talk) -> str:
    assert talk.reply() == "220 gw.bank.test LMTP"
    return talk.say(b"LHLO client.test")


def begun(talk: Talk, *to: bytes, sender: bytes = b"a@bank.test") -> None:
    """Up to 354."""
    assert talk.say(b"MAIL FROM:<" + sender + b">").startswith("250")
    for one in to:
        assert talk.say(b"RCPT TO:<" + one + b">").startswith("250")
    assert talk.say(b"DATA").startswith("354")


def each_its_own(mail: Mail) -> Outcome:
    """By the local part: taken, refused by a rule, deferred."""
    fates = {
        "taken": (Settled.TAKEN, None, None),
        "refused": (Settled.REFUSED, Reason.CERTIFICATE_ABSENT, None),
        "later": (Settled.LATER, Reason.NEXT_HOP_LATER, "452 4.2.2 full"),
    }
    outcomes = tuple(
        RecipientOutcome(one.address, settled, reason, reply=reply)
        for one in mail.envelope.recipients
        for settled, reason, reply in (fates[one.address.partition("@")[0].lower()],)
    )
    return Outcome(mail.origin.incident, Settled.LATER, outcomes, Reason.NEXT_HOP_LATER)


def test_lhlo_and_no_other_greeting() -> None:
    """4.1: HELO and EHLO get no positive reply; ESMTP knows no LHLO."""
    with relay(Taker(), lmtp()) as at:
        with Talk(at["out"]) as talk:
            offered = greeted(talk).replace("250-", "").replace("250 ", "").split("|")
            assert offered[0] == "gw.bank.test"
            assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "DSN"} <= set(offered)
            assert talk.say(b"EHLO client.test").startswith("500 5.5.1")
            assert talk.say(b"HELO client.test").startswith("500 5.5.1")
            assert talk.say(b"LHLO") == "501 5.5.4 Syntax: LHLO hostname"
        with Talk(at["out"]) as talk:
            talk.reply()
            assert talk.say(b"MAIL FROM:<a@bank.test>") == "503 5.5.1 Send LHLO first"
        with Talk(at["smtp"]) as talk:
            talk.reply()
            assert talk.say(b"LHLO client.test").startswith("500 5.5.1")


def test_each_recipient_has_its_answer() -> None:
    taker = Taker(each_its_own)
    with relay(taker, lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, *THREE)
        talk.send(CONTENT + b".\r\n")
        first, second, third = talk.reply(), talk.reply(), talk.reply()
        assert re.fullmatch(r"250 2\.0\.0 Ok: [0-9a-f]{16}", first)
        assert second.startswith("550 5.7.5")
        assert "<refused@else.test>" in second
        assert "other" not in second.lower()
        assert third.startswith("451 4.2.2")
        assert talk.say(b"NOOP").startswith("250"), "and no reply more"
    assert taker.mails[0].origin.answers_each


def test_the_order_is_that_of_the_commands() -> None:
    with relay(Taker(each_its_own), lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, THREE[2], THREE[0], THREE[1])
        talk.send(CONTENT + b".\r\n")
        assert [talk.reply()[:3] for _ in THREE] == ["451", "250", "550"]


def test_who_was_refused_at_rcpt_has_no_answer_more() -> None:
    with relay(Taker(), lmtp()) as at, Talk(at["in"]) as talk:
        greeted(talk)
        assert talk.say(b"MAIL FROM:<anna@else.test>").startswith("250")
        assert talk.say(b"RCPT TO:<x@else.test>").startswith("550")
        assert talk.say(b"RCPT TO:<staff@bank.test>").startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(CONTENT + b".\r\n")
        assert talk.reply().startswith("250")
        assert talk.say(b"NOOP") == "250 2.0.0 Ok"


def test_an_address_given_twice_is_answered_twice_and_sent_to_once() -> None:
    """4.2: a reply for every successful RCPT."""
    taker = Taker(each_its_own)
    with relay(taker, lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, b"refused@else.test", b"taken@else.test", b"refused@ELSE.test")
        talk.send(CONTENT + b".\r\n")
        assert [talk.reply()[:3] for _ in range(3)] == ["550", "250", "550"]
        assert talk.say(b"NOOP") == "250 2.0.0 Ok"
    assert [one.address for one in taker.mails[0].envelope.recipients] == ["refused@else.test", "taken@else.test"]


def test_data_without_recipients_is_503() -> None:
    with relay(Taker(), lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        assert talk.say(b"MAIL FROM:<a@bank.test>").startswith("250")
        assert talk.say(b"DATA").startswith("503")


@pytest.mark.parametrize("raised", [GatewayError(Reason.STORE_UNAVAILABLE, retry=True), ValueError("a surprise")])
def test_trouble_with_the_whole_mail_is_told_to_each(raised: Exception) -> None:
    def fails(mail: Mail) -> Outcome:
        del mail
        raise raised

    with relay(fails, lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, *THREE)
        talk.send(CONTENT + b".\r\n")
        assert [talk.reply()[:3] for _ in THREE] == ["451"] * 3
        assert talk.say(b"NOOP") == "250 2.0.0 Ok"


@pytest.mark.parametrize(("content", "code"), [(b"x" * 70_000 + b"\r\n", "552"), (b"bare\nline\r\n", "550")])
def test_a_mail_that_is_refused_for_its_form_is_refused_to_each(content: bytes, code: str) -> None:
    with relay(Taker(), lmtp(message_octets_max=2048, octets_in_flight_max=1 << 20)) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, *THREE)
        talk.send(content * (8 if code == "552" else 1) + b".\r\n")
        assert [talk.reply()[:3] for _ in THREE] == [code] * 3
        assert talk.say(b"NOOP") == "250 2.0.0 Ok"


def test_a_pipelined_session_keeps_its_order() -> None:
    """RFC 2920: two transactions in two packets; DATA is the last command of a group."""
    taker = Taker(each_its_own)
    commands = b"MAIL FROM:<a@bank.test>\r\n" + b"".join(b"RCPT TO:<%b>\r\n" % one for one in THREE) + b"DATA\r\n"
    with relay(taker, lmtp()) as at, Talk(at["out"]) as talk:
        talk.reply()
        talk.send(b"LHLO client.test\r\n" + commands)
        assert [talk.reply()[:3] for _ in range(6)] == ["250", "250", "250", "250", "250", "354"]
        talk.send(CONTENT + b".\r\n" + commands)
        assert [talk.reply()[:3] for _ in range(8)] == ["250", "550", "451", "250", "250", "250", "250", "354"]
        talk.send(CONTENT + b".\r\nQUIT\r\n")
        assert [talk.reply()[:3] for _ in range(4)] == ["250", "550", "451", "221"]
    assert len(taker.mails) == 2


def test_smtputf8_and_dsn_parameters() -> None:
    taker = Taker()
    with relay(taker, lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        assert talk.say(b"MAIL FROM:<a@bank.test> SMTPUTF8 BODY=8BITMIME RET=FULL ENVID=q1").startswith("250")
        assert talk.say("RCPT TO:<jörg@else.test> NOTIFY=SUCCESS ORCPT=utf-8;j".encode()).startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(CONTENT + b".\r\n")
        assert talk.reply().startswith("250")
    [mail] = taker.mails
    assert (mail.envelope.smtputf8, mail.envelope.ret, mail.envelope.envid) == (True, "FULL", "q1")
    assert mail.envelope.recipients[0].notify == ("SUCCESS",)
    assert b"with UTF8LMTP id" in mail.octets


def test_received_says_lmtp() -> None:
    taker = Taker()
    with relay(taker, lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, b"x@else.test")
        talk.send(CONTENT + b".\r\n")
        talk.reply()
    assert b"with LMTP id" in taker.mails[0].octets


def test_after_a_surprise_no_reply_can_be_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """One 451 and the end: had the connection gone on, a client that sends ahead would have taken the 250 of its next

    MAIL for the answer of the second recipient, and that mail were lost.
    """
    def fails(self: Lmtp, sender: object) -> None:
        raise ValueError(sender)

    monkeypatch.setattr(Lmtp, "_received", fails)
    with relay(Taker(), lmtp()) as at, Talk(at["out"]) as talk:
        greeted(talk)
        begun(talk, *THREE)
        talk.send(CONTENT + b".\r\nMAIL FROM:<a@bank.test>\r\nNOOP\r\n")
        assert talk.reply().startswith("451 4.3.0")
        assert talk.ended()


def test_a_client_that_leaves_after_the_dot_has_its_mail_settled() -> None:
    go = threading.Event()

    def waits(mail: Mail) -> None:
        del mail
        go.wait(20)

    taker = Taker(waits)
    with relay(taker, lmtp()) as at:
        with Talk(at["out"]) as talk:
            greeted(talk)
            begun(talk, *THREE)
            talk.send(CONTENT + b".\r\n")
            until(lambda: len(taker.mails) == 1)
        go.set()
        with Talk(at["out"]) as talk:
            greeted(talk)
            begun(talk, *THREE)
            talk.send(CONTENT + b".\r\n")
            assert [talk.reply()[:3] for _ in THREE] == ["250"] * 3
    assert len(taker.mails) == 2


def test_a_client_that_leaves_within_the_data_has_sent_nothing() -> None:
    taker = Taker()
    with relay(taker, lmtp()) as at:
        with Talk(at["out"]) as talk:
            greeted(talk)
            begun(talk, *THREE)
            talk.send(CONTENT)
        with Talk(at["out"]) as talk:
            greeted(talk)
            begun(talk, b"x@else.test")
            talk.send(CONTENT + b".\r\n")
            assert talk.reply().startswith("250")
    assert len(taker.mails) == 1
