"""The pieces conf/postfix/before-queue.* as they are printed: a real Postfix asks a real gateway before it says 250.

Starts: one Postfix, one `sealgate run`, two sinks (the internet and the mailboxes). Truth: what the sender hears,
what arrives in the sinks, what openssl makes of it, and that Postfix queues nothing that was refused.
"""

import re
from collections.abc import Iterator

import pytest

from gateway.demo import openssl
from gateway.errors import Reason
from gateway.model.sentences import SENTENCES
from tests.support.around import CODE, Site, bank_around, checks, code_for, memo, submit
from tests.support.postfix import PIECES, Doors
from tests.support.smtp import Talk


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    yield from whole.fresh()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with bank_around(tmp_path_factory.mktemp("before-queue"), "before-queue", settings,
                     wait_for="gateway_systems") as made:
        yield made


def settings(text: str, at: Doors) -> str:
    """The demo's, with the sections of before-queue.sealgate.yaml in place of its listeners."""
    printed = (PIECES / "before-queue.sealgate.yaml").read_text("utf-8")
    for port, ours in ((10025, at.gateway_outbound), (10023, at.gateway_systems), (10027, at.gateway_inbound)):
        assert printed.count(f"port: {port}\n") == 1
        printed = printed.replace(f"port: {port}\n", f"port: {ours}\n")
    printed = printed.replace("recipient_check: next_hop\n",  # the demo's rules ask for a judge in front
                              "recipient_check: next_hop\n    trusted_peers: [127.0.0.9/32]\n")
    text, times = re.subn(r"(?m)^listeners:\n(?:  .*\n)+", printed, text)
    assert times == 1
    return text


def test_what_people_submit_leaves_sealed(site: Site) -> None:
    to = "anna@customer.example"
    assert submit(site.postfix.doors.submission, code_for(to), to)[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    assert CODE not in mail
    assert CODE in site.opened(mail)


def test_what_sendmail_takes_leaves_sealed(site: Site) -> None:
    site.postfix.sendmail(code_for("anna@customer.example"), "otp@bank.example", "anna@customer.example")
    (mail,) = site.arrived(site.internet, 1)
    assert CODE not in mail
    assert CODE in site.opened(mail)


def test_a_colleague_hears_the_refusal_itself(site: Site) -> None:
    """After the final dot, with the gateway's words; nothing is queued, so nothing bounces."""
    to = "nobody@nowhere.example"
    reply = submit(site.postfix.doors.submission, code_for(to), to)
    assert reply.startswith(f"550 5.7.5 {SENTENCES[Reason.CERTIFICATE_ABSENT].what}")
    assert b"Mail queue is empty" in site.postfix.queue()
    assert site.internet.mails == site.mailboxes.mails == []


def test_one_refusal_is_everybodys_and_nothing_was_sent(site: Site) -> None:
    """One answer for all is what SMTP has; over LMTP each has its own."""
    to = ("anna@customer.example", "nobody@nowhere.example")
    assert submit(site.postfix.doors.submission, code_for(*to), *to).startswith(("550-5.7.5", "550 5.7.5"))
    assert site.internet.mails == []


def test_a_deferral_is_heard_too(site: Site) -> None:
    """The directory of Dora's company is away."""
    to = "dora@partner.example"
    reply = submit(site.postfix.doors.systems, memo(to), to, sender="staff@bank.example", peer="127.0.0.3")
    assert reply.startswith("451 4.7.5")
    assert b"Mail queue is empty" in site.postfix.queue()


def test_a_system_is_known_by_its_own_address(site: Site) -> None:
    to = "anna@customer.example"
    systems = site.postfix.doors.systems
    assert submit(systems, memo(to), to, sender="staff@bank.example", peer="127.0.0.3")[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    assert CODE in site.opened(mail)
    (line,) = [one for one in site.told("mail") if one["code"] == 250 and one.get("forwarded") == "127.0.0.3"]
    assert (line["client"], line["peer"], line["listener"]) == ("staff", "127.0.0.1", "systems")


def test_a_system_hears_at_once_that_it_may_not(site: Site) -> None:
    """As another, or as nobody whom the gateway knows."""
    to = "anna@customer.example"
    assert submit(site.postfix.doors.systems, code_for(to), to, peer="127.0.0.3").startswith("550 5.7.1")
    assert submit(site.postfix.doors.systems, code_for(to), to, peer="127.0.0.9").startswith("554 5.7.1")
    assert site.internet.mails == []


def test_a_stranger_hears_of_one_unknown_recipient_and_the_other_gets_the_mail(site: Site) -> None:
    with Talk(("127.0.0.1", site.postfix.doors.smtp)) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<eve@else.example>").startswith("250")
        assert talk.say(b"RCPT TO:<nobody@bank.example>").startswith("550 5.1.1")
        assert talk.say(b"RCPT TO:<support@bank.example>").startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(code_for("support@bank.example", sender="eve@else.example") + b".\r\n")
        assert talk.reply().startswith("250")
    (mail,) = site.arrived(site.mailboxes, 1)
    assert CODE in mail


def test_a_sealed_question_arrives_opened(site: Site) -> None:
    person = site.relay.bank.people["anna"]
    signed = openssl.sign(b"Content-Type: text/plain\r\n\r\nWhat is my balance?\r\n", person)
    sealed = openssl.encrypt(signed, site.relay.bank.support_certificate,
                             (person.address, "support@bank.example", "Question"))
    assert submit(site.postfix.doors.smtp, sealed, "support@bank.example", sender=person.address)[:3] == "250"
    (mail,) = site.arrived(site.mailboxes, 1)
    assert b"What is my balance?" in mail
    assert b"smime=pass" in mail


def test_what_senders_ask_of_delivery_reports_goes_on(site: Site) -> None:
    """RFC 3461: through Postfix's proxy, the gateway, and Postfix again."""
    with Talk(("127.0.0.1", site.postfix.doors.submission)) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<otp@bank.example> RET=HDRS ENVID=q1").startswith("250")
        to = b"anna@customer.example"
        assert talk.say(b"RCPT TO:<" + to + b"> NOTIFY=FAILURE ORCPT=rfc822;" + to).startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(code_for("anna@customer.example") + b".\r\n")
        assert talk.reply().startswith("250")
    site.arrived(site.internet, 1)
    asked = b"\n".join(site.internet.lines)
    assert b"RET=HDRS" in asked
    assert b"ENVID=q1" in asked
    assert b"ORCPT=rfc822;anna@customer.example NOTIFY=FAILURE" in asked


def test_a_forgotten_door_lets_nothing_out(site: Site) -> None:
    to = "anna@customer.example"
    assert submit(site.postfix.doors.forgotten, code_for(to), to)[:3] == "250"
    (bounce,) = site.arrived(site.mailboxes, 1)
    assert b"550 5.7.1" in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


def test_the_check_finds_one_way_around_and_it_is_the_sites_own(site: Site) -> None:
    """An alias that leads outside: for that there is the after-queue form."""
    assert checks(site) == [("error", "main.cf virtual_alias_maps")]
