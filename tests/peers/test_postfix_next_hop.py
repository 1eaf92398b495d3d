"""A real Postfix as next hop, and a real swaks before the relay.

Truth: what Postfix answers, queues and hands on to a sink behind it; what swaks makes of our replies.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Mail, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.settings import NextHopSettings
from tests.support.peers import need
from tests.support.postfix import private_postfix
from tests.support.smtp import Hop, Taker, relay, settings, until
from tests.support.tls import TlsFiles, make_tls


@dataclass(frozen=True)
class Postfix:
    """A private instance; mail for bank.test goes on to `sink`."""

    port: int
    sink: Hop
    tls: TlsFiles
    maillog: Path

    def hop(self, **changes: object) -> SmtpNextHop:
        values = {"host": "127.0.0.1", "port": self.port, "tls": "none"}
        hop = SmtpNextHop(NextHopSettings.model_validate(values | changes), hostname="gw.bank.test")
        _HOPS.append(hop)
        return hop


_HOPS: list[SmtpNextHop] = []


@pytest.fixture(autouse=True)
def _close_hops() -> Iterator[None]:
    yield
    while _HOPS:
        _HOPS.pop().close()


@pytest.fixture(scope="module")
def postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postfix]:
    root = tmp_path_factory.mktemp("postfix")
    tls = make_tls(root, ("mx.bank.test",))
    with Hop() as sink:
        main_cf = f"""\
myhostname = mx.bank.test
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = bank.test
relay_recipient_maps = inline:{{ known@bank.test=ok, other@bank.test=ok, ö@bank.test=ok }}
relay_transport = smtp:[127.0.0.1]:{sink.port}
default_transport = smtp:[127.0.0.1]:{sink.port}
smtputf8_enable = yes
local_recipient_maps =
message_size_limit = 300000
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {tls.server}
smtpd_tls_key_file = {tls.server_key}
"""
        with private_postfix(root, main_cf) as port:
            yield Postfix(port, sink, tls, root / "maillog")


def envelope(*to: str, **fields: object) -> Envelope:
    return Envelope("a@else.test", tuple(Recipient(one) for one in to), **fields)  # type: ignore[arg-type]


def mail(subject: str, body: bytes = b"hi\r\n") -> bytes:
    return f"From: a@else.test\r\nTo: known@bank.test\r\nSubject: {subject}\r\n\r\n".encode() + body


def arrived(postfix: Postfix, subject: str) -> bytes:
    """The mail with this subject, as the sink behind Postfix has it."""
    found: list[bytes] = []
    until(
        lambda: bool(
            found.extend(one for one in postfix.sink.mails if f"Subject: {subject}\r\n".encode() in one) or found
        ),
        20,
    )
    return found[0]


def test_octets_come_out_of_postfix_as_they_went_in(postfix: Postfix) -> None:
    hop = postfix.hop()
    body = b".dot\r\n..\r\n\r\nlast" + b"x" * 900 + b"\r\n" + b"line\r\n" * 20_000
    for number in range(3):
        [reply] = hop.deliver(mail(f"octets {number}", body), envelope("known@bank.test"))
        assert reply.taken
        assert "queued as" in reply.text
        assert arrived(postfix, f"octets {number}").endswith(b"\r\n\r\n" + body)
    log = postfix.maillog.read_text()
    assert log.count("connect from localhost") - log.count("disconnect from localhost") <= 1


def test_postfix_refuses_one_recipient_and_takes_the_other(postfix: Postfix) -> None:
    hop = postfix.hop()
    accepted: list[tuple[str, ...]] = []
    replies = hop.deliver(mail("one of two"), envelope("known@bank.test", "unknown@bank.test"), accepted.append)
    assert [one.code for one in replies] == [250, 550]
    assert replies[1].text.startswith("5.1.1")
    assert accepted == [("known@bank.test",)]
    replies = hop.deliver(mail("none of two"), envelope("known@bank.test", "unknown@bank.test"), all_or_none=True)
    assert [one.code for one in replies] == [0, 550]
    assert hop.deliver(mail("nobody"), envelope("unknown@bank.test"))[0].permanent
    assert hop.deliver(mail("after all that"), envelope("known@bank.test"))[0].taken
    arrived(postfix, "after all that")
    assert not any(b"none of two" in one for one in postfix.sink.mails)


def test_probe_against_postfix(postfix: Postfix) -> None:
    hop = postfix.hop()
    assert hop.probe("s@else.test", "known@bank.test").taken
    assert hop.probe("s@else.test", "unknown@bank.test").text.startswith("5.1.1")
    assert hop.probe("", "known@bank.test").taken
    assert hop.health() == ()


def test_dsn_parameters_and_8_bit_reach_the_other_side_of_postfix(postfix: Postfix) -> None:
    hop = postfix.hop()
    to = Recipient("known@bank.test", ("SUCCESS", "FAILURE"), "rfc822;orig@else.test")
    body = "grüße\r\n".encode()
    octets = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    octets += mail("dsn", body)
    [reply] = hop.deliver(octets, Envelope("a@else.test", (to,), eight_bit=True, ret="HDRS", envid="ENV1"))
    assert reply.taken
    assert arrived(postfix, "dsn").endswith(body)
    lines = b"\n".join(postfix.sink.lines)
    assert re.search(rb"MAIL FROM:<a@else\.test> SIZE=\d+ BODY=8BITMIME ENVID=ENV1 RET=HDRS", lines)
    assert b"RCPT TO:<known@bank.test> ORCPT=rfc822;orig@else.test NOTIFY=SUCCESS,FAILURE" in lines


def test_smtputf8_through_postfix(postfix: Postfix) -> None:
    hop = postfix.hop()
    [reply] = hop.deliver(mail("grüße"), envelope("ö@bank.test", smtputf8=True))
    assert reply.taken, reply
    arrived(postfix, "grüße")
    assert any("RCPT TO:<ö@bank.test>".encode() in line for line in postfix.sink.lines)


def test_what_is_too_large_for_postfix_is_told_without_sending(postfix: Postfix) -> None:
    hop = postfix.hop()
    [reply] = hop.deliver(mail("large", b"x" * 70 + b"\r\n" + b"line\r\n" * 60_000), envelope("known@bank.test"))
    assert (reply.code, reply.permanent) == (552, True)


def test_tls_to_postfix(postfix: Postfix) -> None:
    good = postfix.hop(tls="require", tls_ca=postfix.tls.ca, tls_name="mx.bank.test")
    assert good.deliver(mail("tls"), envelope("known@bank.test"))[0].taken
    assert b"with ESMTPS" in arrived(postfix, "tls")
    for wrong in ({"tls_name": "other.test", "tls_ca": postfix.tls.ca}, {"tls_name": "mx.bank.test"}):
        with pytest.raises(GatewayError) as told:
            postfix.hop(tls="require", **wrong).deliver(mail("no tls"), envelope("known@bank.test"))
        assert told.value.reason is Reason.NEXT_HOP_TLS
    may = postfix.hop(tls="may")
    assert may.deliver(mail("may tls"), envelope("known@bank.test"))[0].taken
    assert b"with ESMTPS" in arrived(postfix, "may tls")


def test_swaks_through_the_relay_into_postfix(postfix: Postfix) -> None:
    """The whole dialogue by a client and a server that are not ours."""
    swaks = need("swaks", "swaks")
    hop = postfix.hop()

    def forward(one: Mail) -> Outcome:
        replies = hop.deliver(one.octets, one.envelope)
        outcomes = tuple(
            RecipientOutcome(
                reply.address,
                Settled.TAKEN if reply.taken else Settled.REFUSED,
                None if reply.taken else Reason.NEXT_HOP_REFUSED,
                reply=f"{reply.code} {reply.text}",
            )
            for reply in replies
        )
        good = all(reply.taken for reply in replies)
        return Outcome(one.origin.incident, Settled.TAKEN if good else Settled.REFUSED, outcomes)

    clients = [{"name": "app", "networks": ["127.0.0.1"], "from": ["*@else.test"]}]
    listener = {"name": "out", "role": "outbound", "port": 0, "tls": "starttls"}
    listener |= {"certificate": postfix.tls.server, "key": postfix.tls.server_key}
    with relay(forward, settings(clients=clients, listeners=[listener])) as at:

        def run(*more: str) -> subprocess.CompletedProcess[str]:
            command = [
                swaks,
                "--server",
                f"127.0.0.1:{at['out'][1]}",
                "--from",
                "a@else.test",
                "--ehlo",
                "c.test",
                *more,
            ]
            return subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)

        # Debian's swaks speaks TLS only with libnet-ssleay-perl beside it; without, smtplib's tests stand for it.
        supported = subprocess.run([swaks, "--support"], check=True, timeout=60, capture_output=True, text=True).stdout
        for tls in ([], ["--tls"]) if "TLS supported" in supported else ([],):
            subject = f"swaks {len(tls)}"
            done = run("--to", "known@bank.test,other@bank.test", "--header", f"Subject: {subject}", *tls)
            assert done.returncode == 0, done.stdout + done.stderr
            assert re.search(r"<[-~] +250 2\.0\.0 Ok: [0-9a-f]{16}", done.stdout)
            received = arrived(postfix, subject)
            with_ = b"ESMTPS" if tls else b"ESMTP"
            assert b"Received: from c.test ([127.0.0.1])\r\n\tby gw.bank.test with " + with_ + b" id " in received
        refused = run("--to", "unknown@bank.test")
        assert "550 5.1.1" in refused.stdout
        assert refused.returncode == 26  # swaks: the server did not take the mail
        stranger = run("--to", "known@bank.test", "--from", "ceo@bank.test")
        assert f"550 5.7.1 {SENTENCES[Reason.CLIENT_FROM_NOT_ALLOWED].what}" in stranger.stdout


def test_recipient_check_by_postfix(postfix: Postfix) -> None:
    swaks = need("swaks", "swaks")
    hop = postfix.hop()
    listener = {"name": "in", "role": "inbound", "port": 0, "recipient_check": "next_hop"}
    with relay(Taker(), settings(listeners=[listener]), probe=hop.probe) as at:
        for who, answer in (("known", "250 2.1.5"), ("unknown", "550 5.1.1")):
            command = [
                swaks,
                "--server",
                f"127.0.0.1:{at['in'][1]}",
                "--to",
                f"{who}@bank.test",
                "--quit-after",
                "RCPT",
            ]
            done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
            assert answer in done.stdout
