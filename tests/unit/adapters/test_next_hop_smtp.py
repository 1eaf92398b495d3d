"""The next hop's adapter against a server that keeps to its script: good, dead, slow, lying.

Truth: RFC 5321, 2920, 3461, 6152, 6531 for what may be sent; the scripted server's own record of what came.
The same against a real Postfix stands in tests/peers/test_postfix_next_hop.py.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.next_hop.session import within
from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Recipient
from gateway.ports.next_hop import NextHop
from gateway.settings import NextHopSettings
from tests.support.smtp import Hop
from tests.support.tls import TlsFiles, make_tls

MAIL = b"Subject: x\r\n\r\n.dot\r\nline\r\n..\r\n"


def hop_to(server: Hop, **changes: Any) -> SmtpNextHop:
    values = {"host": "127.0.0.1", "port": server.port, "tls": "none", "connect_timeout_s": 2.0, "reply_timeout_s": 2.0}
    hop = SmtpNextHop(NextHopSettings.model_validate(values | changes), hostname="gw.bank.test")
    _HOPS.append(hop)
    return hop


_HOPS: list[SmtpNextHop] = []


@pytest.fixture(autouse=True)
def _close_hops() -> Iterator[None]:
    """No test leaves a kept connection behind."""
    yield
    while _HOPS:
        _HOPS.pop().close()


def envelope(*to: str, **fields: Any) -> Envelope:
    return Envelope("a@bank.test", tuple(Recipient(one) for one in to or ("x@else.test",)), **fields)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


def test_it_is_a_next_hop() -> None:
    with Hop() as server:
        port: NextHop = hop_to(server)
        assert port.deliver(MAIL, envelope())[0].taken


@pytest.mark.parametrize("features", [("PIPELINING",), ()], ids=["pipelined", "step by step"])
def test_octets_arrive_as_they_are_on_one_kept_connection(features: tuple[str, ...]) -> None:
    with Hop(features) as server:
        hop = hop_to(server)
        big = MAIL + b"x" * 70 + b"\r\n" + b"y" * 300_000 + b"\r\n"
        for octets in (MAIL, big, b""):
            [reply] = hop.deliver(octets, envelope())
            assert (reply.code, reply.text) == (250, "2.0.0 Ok: queued as HOP1")
        assert server.mails == [MAIL, big, b""]
        assert server.connections == 1


def test_a_missing_last_line_end_is_added() -> None:
    with Hop() as server:
        hop_to(server).deliver(b"Subject: x\r\n\r\nend", envelope())
        assert server.mails == [b"Subject: x\r\n\r\nend\r\n"]


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\rb\r\n", b"\n.\r\nMAIL FROM:<x@y>\r\n", b"a\r\r\n", b"a\n"])
def test_bare_line_ends_never_leave(octets: bytes) -> None:
    with Hop() as server, pytest.raises(GatewayError) as told:
        hop_to(server).deliver(octets, envelope())
    assert told.value.reason is Reason.MAIL_BARE_NEWLINE
    assert server.connections == 0


@pytest.mark.parametrize("address", ["x@y>\r\nRCPT TO:<z@w", "x\n@y", "x\0@y", "a>b@c", "<a@b"])
def test_an_address_cannot_leave_its_command(address: str) -> None:
    with Hop() as server:
        hop = hop_to(server)
        for attempt in (lambda: hop.deliver(MAIL, envelope(address)), lambda: hop.probe("", address)):
            with pytest.raises(GatewayError) as told:
                attempt()
            assert told.value.reason is Reason.RECIPIENT_ADDRESS_REFUSED
        with pytest.raises(GatewayError):
            hop.deliver(MAIL, Envelope("a@b", (Recipient("x@y", orcpt="rfc822;x\r\nDATA"),)))


def test_one_reply_per_recipient_and_before_dot_names_the_accepted() -> None:
    def rcpt(line: bytes) -> str | None:
        return {b"no": "550 5.1.1 unknown", b"later": "450 4.2.1 busy"}.get(line.split(b"<")[1].split(b"@")[0])

    called: list[tuple[str, ...]] = []
    with Hop(RCPT=rcpt) as server:
        replies = hop_to(server).deliver(MAIL, envelope("yes@e.test", "no@e.test", "later@e.test"), called.append)
        assert [(one.address, one.code) for one in replies] == [
            ("yes@e.test", 250),
            ("no@e.test", 550),
            ("later@e.test", 450),
        ]
        assert replies[1].permanent
        assert called == [("yes@e.test",)]
        assert len(server.mails) == 1


@pytest.mark.parametrize("features", [("PIPELINING",), ()], ids=["pipelined", "step by step"])
def test_all_or_none_sends_nothing_when_one_is_refused(features: tuple[str, ...]) -> None:
    with Hop(features, RCPT=lambda line: "550 5.1.1 no" if b"<no@" in line else None) as server:
        hop = hop_to(server)
        replies = hop.deliver(
            MAIL, envelope("yes@e.test", "no@e.test"), lambda _: pytest.fail("before_dot"), all_or_none=True
        )
        assert [one.code for one in replies] == [0, 550]
        assert server.mails == []
        assert hop.deliver(MAIL, envelope("yes@e.test", "also@e.test"), all_or_none=True)[1].taken
        assert server.connections == 1


def test_what_before_dot_raises_goes_up_and_nothing_is_sent() -> None:
    def stop(_: tuple[str, ...]) -> None:
        raise GatewayError(Reason.MAIL_DEADLINE, retry=True)

    with Hop() as server:
        hop = hop_to(server)
        with pytest.raises(GatewayError) as told:
            hop.deliver(MAIL, envelope(), stop)
        assert told.value.reason is Reason.MAIL_DEADLINE
        assert server.mails == []
        assert hop.deliver(MAIL, envelope())[0].taken


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("features", [("PIPELINING",), ()], ids=["pipelined", "step by step"])
def test_a_refusal_anywhere_is_the_reply_and_the_connection_lives(word: str, features: tuple[str, ...]) -> None:
    with Hop(features, **{word: "552 5.2.2 full"}) as server:
        hop = hop_to(server)
        for _ in range(2):
            [reply] = hop.deliver(MAIL, envelope())
            assert (reply.code, reply.text) == (552, "5.2.2 full")
        assert server.connections == 1
        assert server.mails == []


def test_a_server_that_wants_data_without_recipients_gets_an_empty_one() -> None:
    """RFC 2920 3.1: 354 although every RCPT was refused; the dot alone must not deliver anything."""
    with Hop(RCPT="550 5.1.1 no", DATA="354 go on", dot="554 5.5.1 no valid recipients") as server:
        hop = hop_to(server)
        assert hop.deliver(MAIL, envelope())[0].code == 550
        assert server.mails == [b""]
        assert b"RSET" in server.lines


def test_many_recipients_in_one_transaction() -> None:
    with Hop() as server:
        to = tuple(f"u{number}@e.test" for number in range(500))
        replies = hop_to(server).deliver(MAIL, envelope(*to))
        assert tuple(one.address for one in replies) == to
        assert all(one.taken for one in replies)
        assert sum(line.startswith(b"RCPT") for line in server.lines) == 500


def test_parameters_are_passed_on_where_offered() -> None:
    to = Recipient("x@e.test", ("SUCCESS", "DELAY"), "rfc822;x+40e.test")
    full = Envelope("a@bank.test", (to,), smtputf8=True, eight_bit=True, ret="HDRS", envid="QQ1")
    with Hop() as server:
        hop_to(server).deliver("Subject: ä\r\n\r\nö\r\n".encode(), full)
        mail, rcpt = server.lines[1], server.lines[2]
        assert mail == b"MAIL FROM:<a@bank.test> SIZE=19 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ1"
        assert rcpt == b"RCPT TO:<x@e.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+40e.test"
    with Hop(features=()) as server:
        hop_to(server).deliver(MAIL, full)
        assert server.lines[1:3] == [b"MAIL FROM:<a@bank.test>", b"RCPT TO:<x@e.test>"]


@pytest.mark.parametrize(
    ("octets", "to", "fields", "reason"),
    [
        ("Subject: x\r\n\r\nö\r\n", "x@e.test", {}, Reason.NEXT_HOP_EIGHT_BIT),
        ("Subject: x\r\n\r\nx\r\n", "ö@e.test", {"smtputf8": True}, Reason.NEXT_HOP_SMTPUTF8),
        ("Subject: x\r\n\r\nx\r\n", "x@ö.test", {}, Reason.NEXT_HOP_SMTPUTF8),
    ],
)
def test_nothing_is_downgraded(octets: str, to: str, fields: dict[str, Any], reason: Reason) -> None:
    with Hop(features=("PIPELINING",)) as server, pytest.raises(GatewayError) as told:
        hop_to(server).deliver(octets.encode(), envelope(to, **fields))
    assert told.value.reason is reason
    assert server.mails == []


def test_utf8_headers_need_smtputf8_and_8bit_headers_do_not() -> None:
    octets = "Subject: ä\r\n\r\nx\r\n".encode()
    with Hop(features=("8BITMIME",)) as server:
        hop = hop_to(server)
        assert hop.deliver(octets, envelope())[0].taken
        with pytest.raises(GatewayError) as told:
            hop.deliver(octets, envelope(smtputf8=True))
        assert told.value.reason is Reason.NEXT_HOP_SMTPUTF8


def test_too_large_for_the_next_hop_is_told_before_sending() -> None:
    with Hop(features=("SIZE 100",)) as server:
        [reply] = hop_to(server).deliver(b"x" * 99 + b"\r\n", envelope())
        assert (reply.code, reply.text[:5]) == (552, "5.3.4")
        assert hop_to(server).deliver(b"x" * 98 + b"\r\n", envelope())[0].taken


def test_a_dead_kept_connection_is_replaced_once() -> None:
    with Hop() as server:
        hop = hop_to(server)
        hop.deliver(MAIL, envelope())
        server.hang_up()
        assert hop.deliver(MAIL, envelope())[0].taken
        assert server.connections == 2


def test_a_kept_connection_that_says_421_is_replaced() -> None:
    answers = iter([None, "421 4.3.2 too old", None])
    with Hop(MAIL=lambda _: next(answers)) as server:
        hop = hop_to(server)
        assert hop.deliver(MAIL, envelope())[0].taken
        assert hop.deliver(MAIL, envelope())[0].taken
        assert (server.connections, len(server.mails)) == (2, 2)


def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    with Hop(MAIL="") as server:
        [reply] = hop_to(server).deliver(MAIL, envelope())
        assert reply.code == 0
        assert not reply.permanent
        assert server.connections == 1


def test_a_connection_lost_after_the_dot_is_never_repeated() -> None:
    """The one place where SMTP allows a mail to be doubled: not by us."""
    answers = iter([None, ""])
    with Hop(dot=lambda _: next(answers)) as server:
        hop = hop_to(server)
        hop.deliver(MAIL, envelope())
        called: list[tuple[str, ...]] = []
        [reply] = hop.deliver(MAIL, envelope(), called.append)
        assert reply.code == 0
        assert called == [("x@else.test",)]
        assert len(server.mails) == 2


@pytest.mark.parametrize("reply", ["", "554 5.3.2 go away", "hello", "220-" + "x" * 5000, "2\r\n" * 3])
def test_no_session_to_be_had(reply: str) -> None:
    with Hop(connect=reply) as server, pytest.raises(GatewayError) as told:
        hop_to(server, reply_timeout_s=0.3).deliver(MAIL, envelope())
    assert (told.value.reason, told.value.retry) == (Reason.NEXT_HOP_UNAVAILABLE, True)


def test_nobody_listens() -> None:
    with Hop() as server:
        hop = hop_to(server)
    with pytest.raises(GatewayError) as told:
        hop.deliver(MAIL, envelope())
    assert (told.value.reason, told.value.retry) == (Reason.NEXT_HOP_UNAVAILABLE, True)
    assert hop.health()


@pytest.mark.parametrize("word", ["EHLO", "MAIL", "dot"])
def test_endless_replies_are_cut(word: str) -> None:
    with Hop(features=(), **{word: "\r\n".join(["250-more"] * 5000)}) as server:
        hop = hop_to(server)
        if word == "EHLO":
            with pytest.raises(GatewayError) as told:
                hop.deliver(MAIL, envelope())
            assert told.value.reason is Reason.NEXT_HOP_UNAVAILABLE
        else:
            [reply] = hop.deliver(MAIL, envelope())
            assert reply.code == 0


def test_a_reply_that_never_comes_ends_in_time() -> None:
    with Hop(dot=lambda _: time.sleep(3)) as server:
        began = time.monotonic()
        [reply] = hop_to(server, reply_timeout_s=0.3).deliver(MAIL, envelope())
        assert reply.code == 0
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("word", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
def test_a_caller_that_waits_gets_its_answer_while_the_hop_still_hangs(word: str) -> None:
    """Each reply has two minutes, all of them together what `within` says."""
    go_on = threading.Event()
    with Hop(**{word: lambda _: go_on.wait(60) and None}) as server:
        hop = hop_to(server, connect_timeout_s=60, reply_timeout_s=120)
        try:
            with within(0.3):
                if word in {"connect", "EHLO"}:
                    with pytest.raises(GatewayError) as caught:
                        hop.deliver(MAIL, envelope())
                    assert (caught.value.reason, caught.value.retry) == (Reason.NEXT_HOP_UNAVAILABLE, True)
                else:
                    [reply] = hop.deliver(MAIL, envelope())
                    assert (reply.code, reply.text) == (0, "no reply in time")
            assert not go_on.is_set()
        finally:
            go_on.set()


def test_texts_are_one_printable_line() -> None:
    with Hop(dot="250-one\x1b[31m\r\n250 two\ttabs " + "x" * 900) as server:
        [reply] = hop_to(server).deliver(MAIL, envelope())
        assert reply.text.startswith("one?[31m two tabs xxx")
        assert len(reply.text) == 500


def test_never_more_connections_than_allowed() -> None:
    gate = threading.Semaphore(0)
    with Hop(dot=lambda _: gate.acquire() and None) as server:
        hop = hop_to(server, connections_max=2, connect_timeout_s=0.3, reply_timeout_s=5)
        threads = [threading.Thread(target=hop.deliver, args=(MAIL, envelope())) for _ in range(2)]
        for thread in threads:
            thread.start()
        while len(server.mails) < 2:
            time.sleep(0.01)
        with pytest.raises(GatewayError) as told:
            hop.deliver(MAIL, envelope())
        assert told.value.reason is Reason.NEXT_HOP_UNAVAILABLE
        for _ in range(3):
            gate.release()
        for thread in threads:
            thread.join()
        assert hop.deliver(MAIL, envelope())[0].taken
        assert server.connections == 2


def test_idle_connections_are_closed() -> None:
    with Hop() as server:
        hop = hop_to(server, idle_s=0.05)
        hop.deliver(MAIL, envelope())
        time.sleep(0.1)
        hop.deliver(MAIL, envelope())
        assert server.connections == 2
        assert b"QUIT" in server.lines


def test_probe_asks_and_sends_nothing() -> None:
    answers = {b"no": "550 5.1.1 unknown", b"later": "451 4.3.0 later"}
    with Hop(RCPT=lambda line: answers.get(line.split(b"<")[1].split(b"@")[0])) as server:
        hop = hop_to(server)
        assert [hop.probe("s@e.test", f"{who}@bank.test").code for who in ("yes", "no", "later")] == [250, 550, 451]
        assert server.connections == 1
        assert server.mails == []
        assert b"DATA" not in server.lines
    [gone] = [hop_to(dead).probe("", "x@bank.test") for dead in [Hop(RCPT="")]]
    assert (gone.code, gone.taken, gone.permanent) == (0, False, False)


# TLS


def test_require_checks_chain_and_name(tls: TlsFiles, tmp_path: Path) -> None:
    other = make_tls(tmp_path)
    with Hop(tls=tls.serving()) as server:
        assert hop_to(server, tls="require", tls_ca=tls.ca).deliver(MAIL, envelope())[0].taken
        assert hop_to(server, tls="require", tls_ca=tls.ca, tls_name="gw.bank.test").deliver(MAIL, envelope())[0].taken
        for wrong in ({"tls_ca": tls.ca, "tls_name": "other.test"}, {"tls_ca": other.ca}, {}):
            with pytest.raises(GatewayError) as told:
                hop_to(server, tls="require", **wrong).deliver(MAIL, envelope())
            assert (told.value.reason, told.value.retry) == (Reason.NEXT_HOP_TLS, True)
        assert len(server.mails) == 2


def test_require_never_speaks_in_clear() -> None:
    """STARTTLS stripped on the way."""
    with Hop() as server, pytest.raises(GatewayError) as told:
        hop_to(server, tls="require").deliver(MAIL, envelope())
    assert told.value.reason is Reason.NEXT_HOP_TLS
    assert not any(line.startswith(b"MAIL") for line in server.lines)


def test_may_encrypts_where_it_can_and_goes_on_where_not(tls: TlsFiles) -> None:
    with Hop(tls=tls.serving()) as server:
        hop = hop_to(server, tls="may")
        for _ in range(3):
            assert hop.deliver(MAIL, envelope())[0].taken
        assert (server.encrypted, server.connections) == (1, 1)
    with Hop() as server:
        assert hop_to(server, tls="may").deliver(MAIL, envelope())[0].taken
    with Hop(tls=tls.serving(), STARTTLS="454 4.7.0 not now") as server:
        assert hop_to(server, tls="may").deliver(MAIL, envelope())[0].taken
        assert server.encrypted == 0


def test_octets_injected_before_tls_are_not_read_after_it(tls: TlsFiles) -> None:
    """As in CVE-2021-38371's kind: a reply that comes together with 220 to STARTTLS would be read as encrypted."""
    with Hop(tls=tls.serving(), STARTTLS="220 go on\r\n250 hop.test injected") as server:
        with pytest.raises(GatewayError) as told:
            hop_to(server, tls="require", tls_ca=tls.ca).deliver(MAIL, envelope())
        assert told.value.reason is Reason.NEXT_HOP_TLS


def test_roots_that_cannot_be_read(tmp_path: Path) -> None:
    with Hop() as server, pytest.raises(GatewayError) as told:
        hop_to(server, tls_ca=tmp_path / "none.pem")
    assert told.value.reason is Reason.CONFIG_UNREADABLE
