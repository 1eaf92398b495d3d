"""The relay's dialogue over real sockets: what is offered, who may do what, what a mail becomes.

Truth: RFC 5321, 1870, 2920, 3207, 3461, 4954, 6152, 6531; the replies' codes from RFC 3463 and RFC 5248.
"""

import re
import threading
import time
from contextlib import ExitStack

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Recipient
from gateway.model.sentences import SENTENCES
from gateway.ports.next_hop import HopReply
from tests.support.smtp import Taker, Talk, relay, settings

CONTENT = b"Subject: x\r\n\r\nhi\r\n"


# What is offered


def test_what_is_offered() -> None:
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        assert talk.reply() == "220 gw.bank.test ESMTP"
        offered = talk.say(b"EHLO c.test").replace("250-", "").replace("250 ", "").split("|")
        assert offered == [
            "gw.bank.test",
            "SIZE 52428800",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "DSN",
            "ENHANCEDSTATUSCODES",
        ]
        assert talk.say(b"HELO c.test") == "250 gw.bank.test"
        assert talk.say(b"NOOP x") == "250 2.0.0 Ok"
        assert talk.say(b"VRFY postmaster").startswith("252")
        assert talk.say(b"EXPN all").startswith("502")
        assert talk.say(b"HELP").startswith("214")
        assert talk.say(b"ETRN x") == "500 5.5.1 Command not recognised"
        assert talk.say(b"QUIT") == "221 2.0.0 Bye"
        assert talk.ended()


# What a mail becomes


def test_a_mail_with_all_its_parameters() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet(b"[127.0.0.1]")
        assert talk.say(
            b"MAIL FROM:<a@bank.test> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=hdrs ENVID=Q+2B1 AUTH=<>"
        ).startswith("250")
        assert talk.say("RCPT TO:<ö@else.test> NOTIFY=success,DELAY ORCPT=utf-8;\\x{F6}".encode()).startswith("250")
        assert talk.say(b"RCPT TO:<y@else.test> NOTIFY=NEVER").startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(b"..stuffed\r\n.gone\r\nrest\r\n.\r\n")
        assert re.fullmatch(r"250 2\.0\.0 Ok: [0-9a-f]{16}", talk.reply())
    [mail] = taker.mails
    envelope = mail.envelope
    assert (envelope.reverse_path, envelope.eight_bit, envelope.smtputf8) == ("a@bank.test", True, True)
    assert (envelope.ret, envelope.envid) == ("HDRS", "Q+2B1")
    assert envelope.recipients == (
        Recipient("ö@else.test", ("SUCCESS", "DELAY"), "utf-8;\\x{F6}"),
        Recipient("y@else.test", ("NEVER",)),
    )
    received, _, content = mail.octets.partition(b"\r\n.stuffed\r\n")
    assert content == b"gone\r\nrest\r\n"
    assert re.fullmatch(
        rb"Received: from \[127\.0\.0\.1\] \(\[127\.0\.0\.1\]\)\r\n\tby gw\.bank\.test with UTF8SMTP id [0-9a-f]{16};"
        rb"\r\n\t\w{3}, \d{2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000",
        received,
    )
    origin = mail.origin
    assert (origin.ours, origin.client, origin.listener, origin.peer, origin.tls) == (
        True,
        "app",
        "out",
        "127.0.0.1",
        False,
    )
    assert origin.deadline_at is not None
    assert (origin.deadline_at - origin.received_at).total_seconds() == 240


def test_inbound_nobody_is_ours_whatever_network_it_comes_from() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["in"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT, sender=b"ceo@bank.test", to=(b"x@BANK.test",)).startswith("250")
    assert (taker.mails[0].origin.ours, taker.mails[0].origin.client) == (False, None)


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"x\r\n", b"..\r\n", b"Subject: x\r\n\r\n" + b"y" * 65_536 + b"\r\n"]
)
def test_content_of_every_shape(content: bytes) -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.mail(content).startswith("250")
        assert talk.say(b"NOOP").startswith("250")
    assert taker.mails[0].octets.partition(b"+0000\r\n")[2] == content.replace(b"..", b".")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 4096])
def test_the_end_of_data_is_found_however_packets_are_cut(size: int) -> None:
    taker, content = Taker(), b"Subject: x\r\n\r\n" + b"line.\r\n..dot\r\n" * 40
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet()
        for command in (b"MAIL FROM:<a@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
            talk.say(command)
        octets = content + b".\r\nNOOP\r\n"
        talk.sock.setsockopt(6, 1, 1)
        for start in range(0, len(octets), size):
            talk.send(octets[start : start + size])
            if size < 10:
                time.sleep(0.0002)
        assert talk.reply().startswith("250 2.0.0 Ok: ")
        assert talk.reply() == "250 2.0.0 Ok"
    assert taker.mails[0].octets.endswith(content.replace(b"..", b"."))


def test_several_mails_pipelined_in_one_packet() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet()
        group = b"MAIL FROM:<a@bank.test>\r\nRCPT TO:<x@else.test>\r\nDATA\r\n"
        talk.send(group)
        assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        talk.send(CONTENT + b".\r\n" + group)
        assert [talk.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
        talk.send(CONTENT + b".\r\nQUIT\r\n")
        assert [talk.reply()[:3] for _ in range(2)] == ["250", "221"]
    assert len(taker.mails) == 2


def test_one_recipient_is_named_in_received_two_are_not() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet(b"bad name(\x01")
        talk.mail(CONTENT)
        talk.mail(CONTENT, to=(b"x@else.test", b"y@else.test", b"x@ELSE.test"))
    one, two = taker.mails
    assert one.octets.startswith(b"Received: from unknown ([127.0.0.1])")
    assert b"for <x@else.test>;" in one.octets
    assert b"@else.test" not in two.octets
    assert len(two.envelope.recipients) == 2


def test_postmaster_alone_is_ours() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["in"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT, sender=b"", to=(b"Postmaster",)).startswith("250")
    assert taker.mails[0].envelope.recipients == (Recipient("Postmaster@bank.test"),)


# Who may do what


def test_strangers_may_not_use_the_outbound_listener() -> None:
    values = settings(clients=[{"name": "app", "networks": ["192.0.2.0/24"], "from": ["*"]}])
    with relay(Taker(), values) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT).startswith(f"554 5.7.1 {SENTENCES[Reason.CLIENT_UNKNOWN].what}")


def test_each_client_uses_its_own_addresses_only() -> None:
    values = settings(
        clients=[{"name": "codes", "networks": ["127.0.0.1"], "from": ["codes@bank.test", "*@otp.bank.test"]}]
    )
    with relay(Taker(), values) as at, Talk(at["out"]) as talk:
        talk.greet()
        for sender, good in (
            (b"codes@bank.test", True),
            (b"CODES@Bank.Test", True),
            (b"x@otp.bank.test", True),
            (b"", True),
            (b"ceo@bank.test", False),
            (b"x@sub.otp.bank.test", False),
            (b"codes@else.test", False),
        ):
            answer = talk.mail(CONTENT, sender=sender)
            refused = f"550 5.7.1 {SENTENCES[Reason.CLIENT_FROM_NOT_ALLOWED].what}"
            assert answer.startswith("250" if good else refused), sender


# Which recipients


def test_recipient_check_asks_the_next_hop() -> None:
    asked: list[tuple[str, str]] = []
    answers = {"no@bank.test": 550, "later@bank.test": 450, "silent@bank.test": 0}

    def probe(sender: str, recipient: str) -> HopReply:
        asked.append((sender, recipient))
        if recipient == "down@bank.test":
            raise GatewayError(Reason.NEXT_HOP_UNAVAILABLE, "secret-host:25", retry=True)
        return HopReply(recipient, answers.get(recipient, 250), "as you like")

    values = settings(listeners=[{"name": "in", "role": "inbound", "port": 0, "recipient_check": "next_hop"}])
    with relay(Taker(), values, probe=probe) as at, Talk(at["in"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<s@else.test>")
        for who, start in (
            ("yes", "250"),
            ("no", "550 5.1.1"),
            ("later", "451 4.1.1"),
            ("silent", "451 4.1.1"),
            ("down", "451 4."),
        ):
            answer = talk.say(f"RCPT TO:<{who}@bank.test>".encode())
            assert answer.startswith(start), answer
            assert "secret" not in answer
        assert talk.say(b"DATA").startswith("354")
    assert asked[0] == ("s@else.test", "yes@bank.test")


def test_recipients_are_not_checked_unless_told() -> None:
    with relay(Taker(), probe=lambda *_: pytest.fail("asked")) as at, Talk(at["in"]) as talk:
        talk.greet()
        assert talk.mail(CONTENT, to=(b"x@bank.test",)).startswith("250")


def test_a_hundred_recipients_and_no_more() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<a@bank.test>")
        answers = [talk.say(b"RCPT TO:<u%d@else.test>" % number)[:9] for number in range(102)]
        assert answers == ["250 2.1.5"] * 100 + ["452 4.5.3"] * 2
        talk.say(b"DATA")
        talk.send(CONTENT + b".\r\n")
        assert talk.reply().startswith("250")
    assert len(taker.mails[0].envelope.recipients) == 100


# Order and syntax


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        ([b"MAIL FROM:<a@bank.test>"], "503 5.5.1 Send HELO"),
        ([b"EHLO"], "501 5.5.4"),
        ([b"HELO c", b"RCPT TO:<x@y.test>"], "503 5.5.1 Send MAIL"),
        ([b"HELO c", b"DATA"], "503 5.5.1 Send MAIL"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test>", b"DATA"], "554 5.5.1"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test>", b"MAIL FROM:<a@bank.test>"], "503 5.5.1"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test>", b"RSET", b"RCPT TO:<x@y.test>"], "503 5.5.1"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test>", b"EHLO c", b"RCPT TO:<x@y.test>"], "503 5.5.1"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test>", b"RCPT TO:<x@y.test>", b"DATA now"], "501 5.5.4"),
        ([b"HELO c", b"MAIL FROM:a@bank.test"], "501 5.5.4"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test> SIZE=52428801"], "552 5.3.4"),
        ([b"HELO c", b"MAIL FROM:<a@bank.test> SIZE=52428800"], "250"),
        ([b"HELO c", b"MAIL FROM: <a@bank.test>  BODY=7bit"], "250"),
        ([b"STARTTLS"], "502 5.5.1"),
        ([b"EHLO c", b"AUTH PLAIN AGEAYg=="], "502 5.5.1"),
        ([b"\xff\xfe"], "500 5.5.2"),
        ([b"NOOP \xff"], "500 5.5.2"),
        ([b""], "500 5.5.1"),
    ],
)
def test_commands_in_the_wrong_order_or_form(commands: list[bytes], answer: str) -> None:
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        talk.reply()
        replies = [talk.say(command) for command in commands]
        assert replies[-1].startswith(answer), replies
        assert talk.say(b"NOOP").startswith("250")


# Limits


def test_connections_are_limited_in_all_and_per_peer() -> None:
    for limits in ({"connections_max": 2}, {"connections_per_peer_max": 2}):
        with relay(Taker(), settings(limits=limits)) as at:
            with Talk(at["out"]) as one, Talk(at["out"]) as two:
                one.greet()
                two.greet()
                with Talk(at["out"]) as three:
                    assert three.reply().startswith("421 4.7.0")
                    assert three.ended()
                with Talk(at["in"]) as other_role:
                    other_role.greet()
                assert one.say(b"QUIT").startswith("221")
                assert one.ended()
            with Talk(at["out"]) as again:
                again.greet()


def test_mails_a_minute_are_limited_per_client() -> None:
    with relay(Taker(), settings(limits={"messages_per_minute_per_client_max": 2})) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert [talk.mail(CONTENT)[:9] for _ in range(3)][2] == "450 4.7.1"
        with Talk(at["in"]) as stranger:
            stranger.greet()
            assert stranger.mail(CONTENT, to=(b"x@bank.test",)).startswith("250")


def test_the_size_limit_is_exact_and_what_is_beyond_is_read_to_its_end() -> None:
    taker = Taker()
    with relay(taker, settings(limits={"message_octets_max": 2000})) as at, Talk(at["out"]) as talk:
        talk.greet()
        for size, answer in ((1999, "250"), (2000, "250"), (2001, "552 5.3.4"), (200_000, "552 5.3.4"), (10, "250")):
            assert talk.mail(b"x" * (size - 2) + b"\r\n").startswith(answer), size
        dots = b"..\r\n" * 666  # 1998 octets without stuffing, 2664 on the wire
        assert talk.mail(dots).startswith("250")
    assert len(taker.mails) == 4


def test_octets_in_work_are_limited() -> None:
    gate, begun = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        begun.set()
        gate.wait(10)

    values = settings(limits={"octets_in_flight_max": 3_000_000})  # of which one peer may have half
    with relay(Taker(slow), values) as at, Talk(at["out"]) as one, Talk(at["out"]) as two:
        for talk in (one, two):
            talk.greet()
            talk.say(b"MAIL FROM:<a@bank.test>")
            talk.say(b"RCPT TO:<x@else.test>")
            assert talk.say(b"DATA").startswith("354")
        one.send(b"x" * 60_000 + b"\r\n" + b"y\r\n" * 250_000 + b".\r\n")
        assert begun.wait(10)
        two.send(b"y\r\n" * 250_000 + b".\r\n")
        assert two.reply().startswith("452 4.3.1")
        gate.set()
        assert one.reply().startswith("250")
        assert two.mail(CONTENT).startswith("250")


def test_announcing_a_large_mail_takes_no_room_from_others() -> None:
    """Six idle DATA of 50 MB each filled the room of all for as long as their time-out."""
    values = settings(limits={"octets_in_flight_max": 60_000_000})
    with relay(Taker(), values) as at, ExitStack() as open_ones:
        for _ in range(6):
            idle = open_ones.enter_context(Talk(at["out"]))
            idle.greet()
            idle.say(b"MAIL FROM:<a@bank.test> SIZE=50000000")
            idle.say(b"RCPT TO:<x@else.test>")
            assert idle.say(b"DATA").startswith("354")
        with Talk(at["out"]) as other:
            other.greet()
            assert other.mail(CONTENT).startswith("250")


def test_strangers_cannot_use_up_the_room_of_the_banks_own_mail() -> None:
    """A dozen connections that announced much and sent nothing stopped everything for ten minutes."""
    values = settings(limits={"octets_in_flight_max": 1_000_000, "message_octets_max": 1_000_000})
    with relay(Taker(), values) as at, Talk(at["in"]) as stranger, Talk(at["out"]) as talk:
        stranger.greet()
        stranger.say(b"MAIL FROM:<s@else.test> SIZE=1000000")
        stranger.say(b"RCPT TO:<x@bank.test>")
        assert stranger.say(b"DATA").startswith("354")
        talk.greet()
        assert talk.mail(CONTENT).startswith("250")


def test_too_many_errors_end_the_session() -> None:
    with relay(Taker(), settings(limits={"errors_per_session_max": 3})) as at, Talk(at["out"]) as talk:
        talk.greet()
        assert [talk.say(b"XYZZY")[:3] for _ in range(4)] == ["500"] * 4
        assert talk.reply().startswith("421 4.7.0")
        assert talk.ended()


def test_a_mail_that_is_taken_wipes_the_slate() -> None:
    """A front that keeps its connection for days must not be sent away for a handful of unknown users."""
    with relay(Taker(), settings(limits={"errors_per_session_max": 3})) as at, Talk(at["in"]) as talk:
        talk.greet()
        for _ in range(5):
            talk.say(b"MAIL FROM:<s@else.test>")
            assert talk.say(b"RCPT TO:<x@elsewhere.test>").startswith("550")
            assert talk.say(b"RSET").startswith("250")
            assert talk.mail(CONTENT, to=(b"x@bank.test",)).startswith("250")


def test_refusals_of_one_transaction_share_its_incident() -> None:
    with relay(Taker(), settings(limits={"message_octets_max": 2000})) as at, Talk(at["in"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<s@else.test>")
        first = talk.say(b"RCPT TO:<x@elsewhere.test>").rpartition(" ")[2]
        talk.say(b"RCPT TO:<x@bank.test>")
        talk.say(b"DATA")
        talk.send(b"x" * 300_000 + b"\r\n.\r\n")
        too_large = talk.reply()
        assert too_large.startswith("552 5.3.4")
        assert too_large.endswith(first)


def test_a_thousand_commands_in_a_packet_do_not_stall_the_others() -> None:
    with relay(Taker()) as at, Talk(at["out"]) as flood, Talk(at["out"]) as other:
        flood.greet()
        other.greet()
        flood.send(b"NOOP\r\n" * 5000)
        assert other.say(b"NOOP").startswith("250")
        assert all(flood.reply().startswith("250") for _ in range(5000))


def test_silence_ends_the_session() -> None:
    limits = {"command_timeout_s": 0.2, "data_timeout_s": 0.3}
    with relay(Taker(), settings(limits=limits)) as at:
        with Talk(at["out"]) as talk:
            talk.greet()
            talk.send(b"NOO")
            assert talk.reply().startswith("421 4.4.2")
            assert talk.ended()
        with Talk(at["out"]) as talk:
            talk.greet()
            for command in (b"MAIL FROM:<a@bank.test>", b"RCPT TO:<x@else.test>", b"DATA"):
                talk.say(command)
            began = time.monotonic()
            try:
                while time.monotonic() - began < 5:  # a line every now and then does not buy time
                    talk.send(b"drop\r\n")
                    time.sleep(0.05)
            except OSError:
                pass
            assert time.monotonic() - began < 2


# Strangers at the listener of the bank's clients


OF_NOBODY = [{"name": "app", "networks": ["127.0.0.1/32"], "from": ["*@bank.test"]}]


def test_strangers_get_a_small_share_and_a_clients_network_has_its_places() -> None:
    """Attack of a trial: ten addresses that were nobody's client filled the listener of the bank's own systems."""
    with (relay(Taker(), settings(limits={"connections_max": 50, "connections_per_peer_max": 40},
                                  clients=OF_NOBODY)) as at, ExitStack() as open_):
        told = []
        for number in range(30):
            talk = open_.enter_context(Talk(at["out"], peer=f"127.0.0.{2 + number % 10}"))
            told.append(talk.reply()[:3])
        assert told == ["220"] * 10 + ["421"] * 20
        for _ in range(40):
            open_.enter_context(Talk(at["out"])).greet()


def test_one_stranger_has_a_tenth_of_the_strangers_share() -> None:
    with (relay(Taker(), settings(limits={"connections_max": 100}, clients=OF_NOBODY)) as at, ExitStack() as open_):
        told = [open_.enter_context(Talk(at["out"], peer="127.0.0.2")).reply()[:3] for _ in range(3)]
        assert told == ["220", "220", "421"]
        assert open_.enter_context(Talk(at["out"], peer="127.0.0.3")).reply()[:3] == "220"


def test_a_stranger_that_does_not_log_in_is_sent_away_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says meanwhile; `command_timeout_s` counts for clients."""
    monkeypatch.setattr("gateway.frontends.smtp.connection.STRANGER_S", 0.5)
    with (relay(Taker(), settings(clients=OF_NOBODY)) as at, Talk(at["out"], peer="127.0.0.2") as talk,
          Talk(at["out"]) as client, Talk(at["in"], peer="127.0.0.2") as inbound):
        client.greet()
        inbound.greet()
        talk.reply()
        said = ""
        while not said:
            said = talk.say(b"NOOP").replace("250 2.0.0 Ok", "").strip("|")
        assert said == "421 4.4.2 Time is up"
        assert talk.ended()
        assert client.say(b"NOOP") == inbound.say(b"NOOP") == "250 2.0.0 Ok"


def test_places_are_reserved_for_the_mail_servers_that_an_inbound_listener_names() -> None:
    listeners = [{"name": "out", "role": "outbound", "port": 0},
                 {"name": "in", "role": "inbound", "port": 0, "trusted_peers": ["127.0.0.9/32"]}]
    with (relay(Taker(), settings(limits={"connections_max": 10}, listeners=listeners)) as at, ExitStack() as open_):
        told = [open_.enter_context(Talk(at["in"])).reply()[:3] for _ in range(10)]
        assert told == ["220"] * 8 + ["421"] * 2
        open_.enter_context(Talk(at["in"], peer="127.0.0.9")).greet()
