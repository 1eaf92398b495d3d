"""The pieces conf/postfix/after-queue.* as they are printed: a real Postfix hands its queue to a real gateway by LMTP.

Starts: one Postfix, one `sealgate run`, two sinks (the internet and the mailboxes). Truth: what arrives in the sinks,
what openssl makes of it, Postfix's own log of each recipient (RFC 2033: an answer for each), and its queue.
"""

import re
import time
from collections.abc import Iterator

import pytest

from gateway.app import enrol as app_enrol
from gateway.app import open_store
from gateway.demo import openssl
from gateway.model.lookup import Customer
from gateway.settings import load
from tests.support.around import CODE, Site, bank_around, checks, code_for, memo, submit
from tests.support.mails import reader
from tests.support.postfix import Doors
from tests.support.smtp import Talk, until


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    yield from whole.fresh()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with bank_around(tmp_path_factory.mktemp("after-queue"), "after-queue", settings) as made:
        yield made


def settings(text: str, at: Doors) -> str:
    """The demo's, as the pieces ask for: LMTP, XFORWARD from the loopback."""
    del at
    for role in ("outbound", "inbound"):
        assert text.count(f"role: {role}, host") == 1
        text = text.replace(f"role: {role}, host", f"role: {role}, protocol: lmtp, xforward_peers: [127.0.0.0/8], host")
    return text


def test_what_people_submit_leaves_sealed(site: Site) -> None:
    to = "anna@customer.example"
    assert submit(site.postfix.doors.submission, code_for(to), to)[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    assert CODE not in mail
    assert CODE in site.opened(mail)
    assert b"with LMTP id" in mail
    assert site.mailboxes.mails == []


def test_what_sendmail_takes_leaves_sealed(site: Site) -> None:
    site.postfix.sendmail(code_for("anna@customer.example"), "otp@bank.example", "anna@customer.example")
    (mail,) = site.arrived(site.internet, 1)
    assert CODE not in mail
    assert CODE in site.opened(mail)


# Who it was


def test_a_system_is_known_by_its_own_address(site: Site) -> None:
    """To the gateway all connections come from 127.0.0.1, which is online banking's; Postfix tells who it really is."""
    to = "anna@customer.example"
    systems = site.postfix.doors.systems
    assert submit(systems, memo(to), to, sender="staff@bank.example", peer="127.0.0.3")[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    assert CODE in site.opened(mail)
    (line,) = [one for one in site.told("mail") if one.get("forwarded") == "127.0.0.3"]
    assert line["client"] == "staff"
    assert line["peer"] == "127.0.0.1"
    assert site.log(rf"postfix/systems/smtpd.* {line['queue_id']}: client=.*127\.0\.0\.3"), "Postfix's own queue id"


def test_a_system_may_not_send_as_another(site: Site) -> None:
    to = "anna@customer.example"
    assert submit(site.postfix.doors.systems, code_for(to), to, peer="127.0.0.3")[:3] == "250"
    (bounce,) = site.arrived(site.mailboxes, 1)
    assert b"550 5.7.1" in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


def test_an_unknown_system_sends_nothing(site: Site) -> None:
    """Although the machine on which Postfix runs may: a mail server lends its own rights to nobody."""
    to = "anna@customer.example"
    assert submit(site.postfix.doors.systems, code_for(to), to, peer="127.0.0.9")[:3] == "250"
    (bounce,) = site.arrived(site.mailboxes, 1)
    assert b"554 5.7.1" in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


def test_a_connection_that_is_used_again_carries_nobody_over(site: Site) -> None:
    """Postfix keeps connections while much is queued: systems and strangers come by the same one, in turn."""
    anna, systems = "anna@customer.example", site.postfix.doors.systems
    for _ in range(12):
        for peer, sender, octets in (("127.0.0.3", "staff", memo(anna)), ("127.0.0.9", "staff", memo(anna)),
                                     ("127.0.0.1", "otp", code_for(anna))):
            reply = submit(systems, octets, anna, sender=f"{sender}@bank.example", peer=peer)
            assert reply.startswith("250")
    assert len(site.arrived(site.internet, 24)) == 24
    assert all(b"554 5.7.1" in bounce for bounce in site.arrived(site.mailboxes, 12))
    assert site.log(r"postfix/lmtp.*conn_use=\d+"), "else this would prove nothing"
    clients = {(line["forwarded"], line["client"]) for line in site.told("mail") if line.get("forwarded")}
    assert clients <= {("127.0.0.3", "staff"), ("127.0.0.1", "online-banking"), ("127.0.0.1", None)}


@pytest.mark.parametrize("helo", [
    b"x" * 700, b"caf\xe9 \x01+0D+0A\\ADDR=127.0.0.1", "grüße".encode(), b"[UNAVAILABLE]",
])
def test_a_name_that_is_no_name_stops_nothing_and_gains_nothing(site: Site, helo: bytes) -> None:
    """Postfix tells a client's HELO as it was. The client is still known by its address, and by it alone."""
    to, systems = "anna@customer.example", site.postfix.doors.systems
    for peer, arrives in (("127.0.0.3", site.internet), ("127.0.0.9", site.mailboxes)):
        with Talk(("127.0.0.1", systems), peer=peer) as talk:
            talk.greet(helo)
            assert talk.mail(memo(to), sender=b"staff@bank.example", to=(to.encode(),)).startswith("250")
        (mail,) = site.arrived(arrives, 1)
        assert CODE not in mail
    told = [line for line in site.told("mail") if line.get("forwarded") in ("127.0.0.3", "127.0.0.9")]
    assert told[-1]["client"] == "staff"
    assert told[-1]["queue_id"]


def test_a_forgotten_door_lets_nothing_out(site: Site) -> None:
    to = "anna@customer.example"
    assert submit(site.postfix.doors.forgotten, code_for(to), to)[:3] == "250"
    (bounce,) = site.arrived(site.mailboxes, 1)
    assert b"550 5.7.1" in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


# An answer for each


def test_one_is_sent_one_bounces_one_waits_and_is_sent_alone(site: Site) -> None:
    """Dora's company keeps her certificate in a directory that is away; then she brings it to the bank herself."""
    anna, dora, nobody = "anna@customer.example", "dora@partner.example", "nobody@nowhere.example"
    octets = memo(anna, dora, nobody)
    assert submit(site.postfix.doors.systems, octets, anna, nobody, dora, sender="staff@bank.example",
                  peer="127.0.0.3")[:3] == "250"
    until(lambda: bool(site.log(rf"to=<{dora}>.*status=deferred")), 30)
    until(lambda: len(site.internet.mails) == len(site.mailboxes.mails) == 1, 30)
    (queue_id,) = re.findall(rf"(\w+): to=<{dora}>.*status=deferred", site.postfix.maillog.read_text())
    told = re.findall(rf"{queue_id}: to=<(\w+)@.*dsn=([\d.]+), status=(\w+)", site.postfix.maillog.read_text())
    assert told == [("anna", "2.0.0", "sent"), ("nobody", "5.7.5", "bounced"), ("dora", "4.7.5", "deferred")]
    assert "other recipient" not in " ".join(site.log(queue_id)).lower()
    (bounce,) = site.mailboxes.mails
    assert b"<nobody@nowhere.example>: host" in bounce
    assert anna.encode() not in bounce.partition(b"Content-Description: Undelivered")[0]
    queue = site.postfix.queue().decode()
    assert dora in queue
    assert anna not in queue

    enrol(site, site.relay.bank.partners["dora"].certificate.read_bytes())
    until(lambda: flushed(site), 30)
    assert len(site.internet.mails) == 2
    assert len(site.mailboxes.mails) == 1
    assert CODE in site.opened(site.internet.mails[0])
    assert CODE in openssl.verify(
        openssl.decrypt(site.internet.mails[1], site.relay.bank.partners["dora"]), site.relay.bank.root)
    (last,) = site.log(rf"postfix/lmtp.* {queue_id}: to=.*status=sent")[1:]
    assert f"to=<{dora}>" in last, "the one that was missing, in the same queue file, alone"


def flushed(site: Site) -> bool:
    """Tries what waits; whether nothing does any more."""
    site.postfix.flush()
    time.sleep(0.2)  # between two tries: a directory's pause is over by then or at the next
    return b"Mail queue is empty" in site.postfix.queue()


def enrol(site: Site, certificate: bytes) -> None:
    store = open_store(load(site.relay.bank.config))
    try:
        store.customers.put([Customer("20001", "Dora", ("dora@partner.example",), "retail")])
        app_enrol(store, [(certificate, "20001")])
    finally:
        store.close()


def test_who_hears_no_answers_comes_again_and_nobody_gets_two(site: Site) -> None:
    """The connection breaks after the dot; then another attempt for all, and one for a single recipient."""
    anna, ben = "anna@customer.example", "ben@customer.example"
    octets = code_for(anna, mark="heard-nothing")  # Ben is hidden: two groups
    with Talk(("127.0.0.1", site.postfix.doors.gateway_outbound)) as talk:
        handed_over(talk, octets, anna, ben)
        until(lambda: len(site.internet.mails) == 2, 30)
    for to in ((anna, ben), (ben,), (anna,)):
        until(lambda to=to: answers(site, octets, *to) == ["250"] * len(to), 30)  # type: ignore[misc]
    site.settled()
    assert len(site.internet.mails) == 2
    site.internet.mails.clear()
    assert answers(site, octets, anna, ident="4OTHER") == ["250"]
    assert len(site.arrived(site.internet, 1)) == 1, "the same octets under another queue id are another mail"


def handed_over(talk: Talk, octets: bytes, *to: str, ident: str = "4SAME") -> None:
    """Up to the final dot."""
    assert talk.reply().startswith("220")
    assert talk.say(b"LHLO mx.bank.example").startswith("250")
    assert talk.say(b"XFORWARD ADDR=127.0.0.1 SOURCE=REMOTE IDENT=" + ident.encode()).startswith("250")
    assert talk.say(b"MAIL FROM:<otp@bank.example>").startswith("250")
    for one in to:
        assert talk.say(b"RCPT TO:<" + one.encode() + b">").startswith("250")
    assert talk.say(b"DATA").startswith("354")
    talk.send(octets + b".\r\n")


def answers(site: Site, octets: bytes, *to: str, ident: str = "4SAME") -> list[str]:
    with Talk(("127.0.0.1", site.postfix.doors.gateway_outbound)) as talk:
        handed_over(talk, octets, *to, ident=ident)
        return [talk.reply()[:3] for _ in to]


def test_what_senders_ask_of_delivery_reports_goes_on(site: Site) -> None:
    """RFC 3461: through the queue, LMTP, the gateway, and Postfix again."""
    before = len(site.internet.lines)
    with Talk(("127.0.0.1", site.postfix.doors.submission)) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<otp@bank.example> RET=HDRS ENVID=q1").startswith("250")
        to = b"anna@customer.example"
        assert talk.say(b"RCPT TO:<" + to + b"> NOTIFY=FAILURE ORCPT=rfc822;Anna@customer.example").startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(code_for(to.decode()) + b".\r\n")
        assert talk.reply().startswith("250")
    site.arrived(site.internet, 1)
    asked = b"\n".join(site.internet.lines[before:])
    assert b"RET=HDRS" in asked
    assert b"ENVID=q1" in asked
    assert b"ORCPT=rfc822;Anna@customer.example NOTIFY=FAILURE" in asked


# Final recipients


def test_an_alias_that_leads_outside_is_sealed(site: Site) -> None:
    """Postfix maps it before the gateway: by the address on the envelope it would have been a colleague's, unsealed."""
    to = "desk@bank.example"
    assert submit(site.postfix.doors.submission, code_for(to), to)[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    assert CODE not in mail
    assert CODE in site.opened(mail)
    assert any(b"RCPT TO:<anna@customer.example>" in line for line in site.internet.lines)
    assert site.mailboxes.mails == []


def test_a_strangers_mail_to_it_is_refused_and_not_opened_for_the_world(site: Site) -> None:
    octets = code_for("desk@bank.example", sender="eve@else.example")
    assert submit(site.postfix.doors.smtp, octets, "desk@bank.example", sender="eve@else.example")[:3] == "250"
    (bounce,) = site.arrived(site.internet, 1)
    assert b"550 5.7.1" in bounce
    assert site.mailboxes.mails == []


def test_an_archive_gets_its_copy_once(site: Site) -> None:
    to = "ben@customer.example"
    octets = memo(to, subject="for you")
    assert submit(site.postfix.doors.systems, octets, to, sender="staff@bank.example", peer="127.0.0.3")[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    (copy,) = site.arrived(site.mailboxes, 1)
    assert CODE not in mail
    assert CODE in copy, "the archive is the bank's own"


# The way in


def test_a_sealed_question_arrives_opened(site: Site) -> None:
    person = site.relay.bank.people["anna"]
    signed = openssl.sign(b"Content-Type: text/plain\r\n\r\nWhat is my balance?\r\n", person)
    sealed = openssl.encrypt(signed, site.relay.bank.support_certificate,
                             (person.address, "support@bank.example", "Question"))
    reply = submit(site.postfix.doors.smtp, sealed, "support@bank.example", sender=person.address)
    assert reply[:3] == "250", reply
    (mail,) = site.arrived(site.mailboxes, 1)
    assert b"What is my balance?" in mail
    assert b"smime=pass" in mail
    assert site.internet.mails == []


def test_long_lines_and_8_bit_survive(site: Site) -> None:
    """Postfix neither wraps nor recodes what goes to be signed."""
    line = "grüß dich " * 2_000
    octets = memo("anna@customer.example") + line.encode() + b"\r\n"
    to = "anna@customer.example"
    assert submit(site.postfix.doors.systems, octets.replace(
        b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", 1),
        to, sender="staff@bank.example", peer="127.0.0.3")[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    inner = reader(site.opened(mail))
    assert any(line.encode() in (part.content or b"") for part in inner)



def test_the_check_finds_no_way_around(site: Site) -> None:
    """Not by the alias that leads outside, either: the gateway sees where it leads."""
    assert checks(site) == []
