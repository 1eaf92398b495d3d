"""Attacks on the SMTP dialogue: smuggling, injection, open relay, floods. Raw sockets on the loopback.

Truth: SEC Consult's table of end-of-data sequences (SMTP smuggling, December 2023), RFC 3207 6 and the STARTTLS
injection of 2011 (CVE-2011-0411), the relay tricks of the nineties, RFC 5321 4.5.3 for lengths. In each the
claim is what reaches the mail's way: one mail with these octets, or none.
"""

import resource
import time

import pytest

from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.settings import NextHopSettings
from tests.support.smtp import Hop, Taker, Talk, relay, settings
from tests.support.tls import make_tls

HEAD = b"Subject: outer\r\n\r\nouter\r\n"
INNER = (
    b"MAIL FROM:<ceo@bank.test>\r\nRCPT TO:<victim@else.test>\r\nDATA\r\n"
    b"From: ceo@bank.test\r\n\r\nsmuggled\r\n.\r\nQUIT\r\n"
)
# What some server, somewhere, took for the end of data.
ENDINGS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\x00\r\n.\r\n\n",
]


def to_data(talk: Talk, *, sender: bytes = b"a@bank.test", to: bytes = b"x@else.test") -> None:
    talk.greet()
    for command in (b"MAIL FROM:<" + sender + b">", b"RCPT TO:<" + to + b">", b"DATA"):
        talk.say(command)


@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
@pytest.mark.parametrize("normalise", [False, True], ids=["strict", "normalising"])
def test_no_other_end_of_data(ending: bytes, normalise: bool) -> None:
    taker = Taker()
    clients = [{"name": "app", "networks": ["127.0.0.1"], "from": ["*"], "normalise_newlines": normalise}]
    with relay(taker, settings(clients=clients)) as at, Talk(at["out"]) as talk:
        to_data(talk)
        talk.send(HEAD + ending + INNER.replace(b"\r\n.\r\nQUIT\r\n", b"\r\n"))
        talk.send(b"\r\n.\r\n")
        answer = talk.reply()
        if ending == b"\x00\r\n.\r\n\n":  # a true end, after a NUL: refused, and the rest are commands with bare LF
            assert answer.startswith("550 5.6.0")
        else:
            assert answer[:9] in ("550 5.5.2", "550 5.6.0"), answer
            assert talk.say(b"NOOP").startswith("250")
    assert [mail.envelope.reverse_path for mail in taker.mails] in ([], [b"a@bank.test".decode()])
    for mail in taker.mails:
        assert b"smuggled" not in mail.octets


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n"], ids=repr)
def test_nothing_smuggled_passes_through_to_the_next_hop(ending: bytes) -> None:
    """The whole way with a next hop that is lax: it never sees the second mail, for the first never leaves."""
    with Hop() as server:
        hop = SmtpNextHop(NextHopSettings(host="127.0.0.1", port=server.port, tls="none"))

        def forward(mail: Mail) -> Outcome:
            hop.deliver(mail.octets, mail.envelope)
            raise AssertionError

        with relay(forward) as at, Talk(at["out"]) as talk:
            to_data(talk)
            talk.send(HEAD + ending + INNER)
            assert talk.reply().startswith("550 5.5.2")
        hop.close()
        assert server.mails == []


def test_a_normalised_mail_has_only_true_line_ends() -> None:
    taker = Taker()
    clients = [{"name": "app", "networks": ["127.0.0.1"], "from": ["*"], "normalise_newlines": True}]
    with relay(taker, settings(clients=clients)) as at, Talk(at["out"]) as talk:
        to_data(talk)
        talk.send(b"Subject: x\n\nold\rlegacy\n..dot\nhost\r\n.\r\n")
        assert talk.reply().startswith("250")
    assert taker.mails[0].octets.endswith(b"Subject: x\r\n\r\nold\r\nlegacy\r\n.dot\r\nhost\r\n")


def test_mail_sent_before_354_is_not_read_as_commands() -> None:
    """A client that does not wait: where DATA is refused, its mail's text would become commands with its rights."""
    taker = Taker()
    with relay(taker) as at:
        for refused in (True, False):
            with Talk(at["out"]) as talk:
                talk.greet()
                to = b"x@[127.0.0.1" if refused else b"x@else.test"
                talk.send(b"MAIL FROM:<a@bank.test>\r\nRCPT TO:<" + to + b">\r\nDATA\r\n" + INNER)
                talk.reply()
                talk.reply()
                assert talk.reply()[:3] in ("554", "503")
                assert talk.ended()
    assert taker.mails == []


def test_octets_injected_before_tls_are_not_obeyed_after_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    tls = make_tls(tmp_path_factory.mktemp("tls"))
    taker = Taker()
    listener = {
        "name": "out",
        "role": "outbound",
        "port": 0,
        "tls": "starttls",
        "certificate": tls.server,
        "key": tls.server_key,
    }
    with relay(taker, settings(listeners=[listener])) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@bank.test>\r\nRCPT TO:<evil@else.test>\r\n")
        assert talk.reply().startswith("503 5.5.0")
        assert talk.ended()
    assert taker.mails == []


# Open relay


@pytest.mark.parametrize(
    "to",
    [
        b"victim@else.test",
        b"victim%else.test@bank.test",
        b"else.test!victim@bank.test",
        b'"victim@else.test"@bank.test',
        b'"victim\\@else.test"@bank.test',
        b'"victim%else.test"@bank.test',
        b"@bank.test:victim@else.test",
        b"@bank.test,@else.test:victim@bank.test",
        b"victim@[127.0.0.1]",
        b"victim@[IPv6:::1]",
        b"victim@else.test@bank.test",
        b"victim@bank.test@else.test",
        b"victim@bank.test.",
        b"victim@sub.bank.test",
        b"victim@xbank.test",
        b"victim@bank.test.else.test",
        b"victim@ban\xe2\x84\xaa.test",
        b"victim",
        b"victim@",
        b"victim@else.test>,<x@bank.test",
        b"victim@bank.test\\@else.test",
        b"|/bin/sh@else.test",
        b"",
    ],
    ids=repr,
)
def test_strangers_reach_nobody_but_us(to: bytes) -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["in"]) as talk:
        talk.greet()
        for sender in (b"x@else.test", b"ceo@bank.test", b""):
            talk.say(b"RSET")
            assert talk.say(b"MAIL FROM:<" + sender + b"> SMTPUTF8").startswith("250")
            assert talk.say(b"RCPT TO:<" + to + b">")[:1] == "5"
            assert talk.say(b"DATA").startswith("554 5.5.1")
    assert taker.mails == []


@pytest.mark.parametrize(
    "to",
    [b"v%evil.test@bank.test", b'"v@evil.test"@bank.test', b"evil.test!v@bank.test", b"@bank.test:v@evil.test"],
    ids=repr,
)
def test_our_own_clients_cannot_route_through_our_domain_either(to: bytes) -> None:
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<a@bank.test>")
        assert talk.say(b"RCPT TO:<" + to + b">").startswith("550 5.1.3")
        assert talk.say(b"RCPT TO:<v%x@else.test>").startswith("250")  # elsewhere it is the address's own business


def test_a_stranger_is_not_made_ours_by_a_sender_or_a_name() -> None:
    values = settings(clients=[{"name": "app", "networks": ["192.0.2.1"], "from": ["*"]}])
    with relay(Taker(), values) as at, Talk(at["out"]) as talk:
        talk.greet(b"[192.0.2.1]")
        for extra in (b"", b" AUTH=app"):
            assert talk.say(b"MAIL FROM:<ceo@bank.test>" + extra).startswith("554 5.7.1")
        assert talk.say(b"XCLIENT ADDR=192.0.2.1").startswith("500")
        assert talk.say(b"XFORWARD ADDR=192.0.2.1").startswith("500")
        assert talk.say(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 25").startswith("500")


# Command lines


@pytest.mark.parametrize(
    "line",
    [
        b"NOOP\n",
        b"NOOP\rNOOP\r\n",
        b"NO\x00OP\r\n",
        b"MAIL FROM:<a@bank.test>\nRCPT TO:<x@else.test>\r\n",
        b"NOOP\r\r\n",
        b"\n",
    ],
    ids=repr,
)
def test_commands_end_in_cr_lf_and_nothing_else(line: bytes) -> None:
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        talk.greet()
        talk.send(line)
        assert talk.reply().startswith("500 5.5.2")
        if line.count(b"\n") == 2:
            assert talk.reply().startswith("503")  # the second line stands alone, and the first did nothing
        assert talk.say(b"NOOP").startswith("250")


@pytest.mark.parametrize(
    ("start", "limit"),
    [(b"NOOP ", 512), (b"XYZ ", 512), (b"MAIL FROM:<a@bank.test> ENVID=", 1188), (b"RCPT TO:<", 1047)],
)
def test_command_length(start: bytes, limit: int) -> None:
    """The limit, one above, and far above; afterwards the session goes on."""
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        talk.greet()
        for length, too_long in ((limit, False), (limit + 1, True), (10_000, True)):
            answer = talk.say(start + b"x" * (length - len(start) - 2))
            assert answer.startswith("500 5.5.2 Line too long") is too_long, (length, answer)
        assert talk.say(b"NOOP").startswith("250")


def test_a_line_without_end_ends_the_session_in_bounded_memory() -> None:
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        talk.greet()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sent = 0
        try:
            for _ in range(2000):
                talk.send(b"x" * 65_536)
                sent += 65_536
        except OSError:
            pass
        assert sent < 50_000_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /mail HTTP/1.1", b"Host: gw.bank.test"])
def test_a_browser_made_to_speak_to_us_is_hung_up_on(request_line: bytes) -> None:
    with relay(Taker()) as at, Talk(at["out"]) as talk:
        talk.reply()
        talk.send(request_line + b"\r\nContent-Type: text/plain\r\n\r\nEHLO x\r\n" + INNER)
        assert talk.reply().startswith("421")
        assert talk.ended()


# Floods


def test_a_stranger_who_guesses_addresses_is_sent_away() -> None:
    with relay(Taker()) as at, Talk(at["in"]) as talk:
        talk.greet()
        talk.say(b"MAIL FROM:<x@else.test>")
        answers = []
        try:
            while len(answers) < 200 and (not answers or answers[-1]):
                answers.append(talk.say(b"RCPT TO:<user%d@elsewhere.test>" % len(answers)))
        except OSError:
            pass
        assert len(answers) < 30
        assert any(answer.startswith("421") for answer in answers)


def test_a_flood_of_recipients_in_one_packet() -> None:
    taker = Taker()
    with relay(taker) as at, Talk(at["out"]) as talk:
        talk.greet()
        count = 5000
        began = time.monotonic()
        talk.send(b"MAIL FROM:<a@bank.test>\r\n")
        assert talk.reply().startswith("250")
        for start in range(0, count, 50):
            batch = range(start, start + 50)
            try:
                talk.send(b"".join(b"RCPT TO:<u%d@else.test>\r\n" % number for number in batch))
            except OSError:
                break
            answers = [talk.reply() for _ in batch]
            if "" in answers:
                break
        assert time.monotonic() - began < 10
    assert taker.mails == []


def test_an_oversized_mail_is_read_to_its_end_refused_for_good_and_never_kept() -> None:
    taker = Taker()
    with relay(taker, settings(limits={"message_octets_max": 100_000})) as at, Talk(at["out"]) as talk:
        to_data(talk)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = b"x" * 998 + b"\r\n"
        for _ in range(600):
            talk.send(line * 100)  # 60 MB in all
        talk.send(b".\r\n")
        assert talk.reply().startswith("552 5.3.4")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB
        assert talk.say(b"NOOP").startswith("250")
    assert taker.mails == []


def test_replies_never_repeat_what_a_client_sent() -> None:
    """A client's own words in a reply, or an address with a line end, would put words into our mouth."""
    with relay(Taker()) as at, Talk(at["in"]) as talk:
        talk.greet(b"<script>evil")
        for command in (b"evil", b"MAIL FROM:<evil", b"RCPT TO:<evil>", b"VRFY evil", b"HELP evil", b"AUTH evil"):
            assert "evil" not in talk.say(command)
