"""Traps of a Postfix beside the gateway: each lets clear or opened mail out, or doubles or loses mail; `sealgate check
--postfix` names it; with the remedy that it names, the mail goes the right way and `check` has nothing to say.

Starts one `sealgate run`, two sinks, and for each trap a private Postfix twice (root; 0.5 s each). Truth: what arrives
at the sinks behind the real Postfix.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.bank import Bank, Ports
from gateway.settings import Settings, load
from tests.support.other_milter import other_milter
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import need, run
from tests.support.postfix import Doors, doors
from tests.support.process import demo_bank, free_ports, relay, without_services, without_web
from tests.support.smtp import Hop, Talk, until
from tests.support.traps import Site, Trap, findings, holds, with_trap

CODE = b"Your code is 471108."
QUESTION = b"What is my balance?"
QMQP_TEXT = b"X" * 40  # of qmqp-source(1)
ANNA = "anna@customer.example"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all traps share."""

    at: Doors
    bank: Bank
    ends: tuple[Hop, Hop]
    settings: Settings
    dead: int


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home, at = tmp_path_factory.mktemp("traps") / "bank", doors()
    (dead,) = free_ports(1)
    bank = demo_bank(home, Ports(outbound=at.gateway_outbound, sink=at.sealed, inbound=at.gateway_inbound))
    text = without_web(without_services(bank.config.read_text()))
    back = f"  inbound: {{host: 127.0.0.1, port: {at.sealed}, tls: none}}"
    assert back in text
    text = text.replace(back, back.replace(str(at.sealed), str(at.opened)))
    bank.config.write_text(text.replace("role: inbound,", "role: inbound, recipient_check: next_hop,"))
    with Hop() as mailboxes, Hop() as internet, relay(bank):
        yield Bench(at, bank, (mailboxes, internet), load(bank.config), dead)


def code_for(recipient: str, more: bytes = b"") -> bytes:
    return (f"From: otp@bank.example\r\nTo: {recipient}\r\nSubject: Your code\r\n"
            f"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{time.monotonic_ns()}@bank.example>\r\n\r\n"
            ).encode() + CODE + b"\r\n" + more


def sealed_question(bank: Bank) -> bytes:
    """As a customer's mail program makes it; by openssl."""
    person, home = bank.people["anna"], bank.home
    (home / "question").write_bytes(b"Content-Type: text/plain\r\n\r\n" + QUESTION + b"\r\n")
    signed = run(OpenSsl().program, "cms", "-sign", "-in", home / "question", "-signer", person.certificate,
                 "-inkey", person.key, "-certfile", home / "pki" / "chain.pem")
    (home / "signed").write_bytes(signed)
    sealed = run(OpenSsl().program, "cms", "-encrypt", "-aes256", "-in", home / "signed", "-from", person.address,
                 "-to", "support@bank.example", "-subject", "Question", bank.support_certificate)
    return sealed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def submits(site: Site, port: int = 0, recipient: str = ANNA) -> None:
    assert site.submit(port or site.postfix.doors.submission, code_for(recipient), recipient).startswith("250")


def leaves_in_clear(send: Callable[[Site], None]) -> Callable[[Site], None]:
    def shows(site: Site) -> None:
        send(site)
        (mail,) = site.came(site.internet)
        assert CODE in mail or QUESTION in mail

    return shows


def leaves_sealed(send: Callable[[Site], None]) -> Callable[[Site], None]:
    def then(site: Site) -> None:
        send(site)
        (mail,) = site.came(site.internet)
        assert CODE not in mail
        assert CODE in opened_by_openssl(mail, site.bank)

    return then


def opened_by_openssl(mail: bytes, bank: Bank) -> bytes:
    person = bank.people["anna"]
    (bank.home / "got.eml").write_bytes(mail)
    return run(OpenSsl().program, "cms", "-decrypt", "-inform", "SMIME", "-in", bank.home / "got.eml",
               "-recip", person.certificate, "-inkey", person.key)


def by_sendmail(site: Site) -> None:
    site.postfix.sendmail(code_for(ANNA), "otp@bank.example", ANNA)


def by_qmqp(site: Site) -> bytes:
    """What Postfix's own generator sends."""
    run(need("qmqp-source", "postfix"), "-f", "otp@bank.example", "-t", ANNA,
        f"inet:127.0.0.1:{site.postfix.doors.systems}")
    return site.came(site.internet)[0]


def qmqp_in_clear(site: Site) -> None:
    assert QMQP_TEXT in by_qmqp(site)


def qmqp_sealed(site: Site) -> None:
    mail = by_qmqp(site)
    assert QMQP_TEXT not in mail
    assert QMQP_TEXT in opened_by_openssl(mail, site.bank)


def asks(site: Site) -> None:
    reply = site.submit(site.postfix.doors.smtp, sealed_question(site.bank), "support@bank.example", sender=ANNA)
    assert reply.startswith("250"), reply


def archive_gets(times: int) -> Callable[[Site], None]:
    def gets(site: Site) -> None:
        site.mailboxes.lines.clear()
        asks(site)
        until(lambda: len(site.mailboxes.mails) > 0 and b"Mail queue is empty" in site.postfix.queue(), 20)
        assert len([line for line in site.mailboxes.lines if line.startswith(b"RCPT TO:<archive@")]) == times
        assert any(QUESTION in one for one in site.mailboxes.mails)

    return gets


def arrives_opened(site: Site) -> None:
    asks(site)
    (mail,) = site.came(site.mailboxes)
    assert QUESTION in mail
    assert site.internet.mails == []


def relays_percent(site: Site) -> None:
    """To a door back from the gateway, by an address that is the bank's."""
    reply = site.submit(site.postfix.doors.sealed, code_for(ANNA), "v%evil.example@bank.example")
    assert reply.startswith("250"), reply
    (mail,) = site.came(site.internet)
    assert CODE in mail
    assert any(b"<v@evil.example>" in line for line in site.internet.lines)


def takes_percent_for_a_name(site: Site) -> None:
    site.submit(site.postfix.doors.sealed, code_for(ANNA), "v%evil.example@bank.example")
    site.came(site.mailboxes)
    assert site.internet.mails == []


def is_too_large(site: Site) -> None:
    large = code_for(ANNA, b"A line of a statement.\r\n" * 1000)
    assert site.submit(site.postfix.doors.submission, large, ANNA).startswith("250")


def comes_back(site: Site) -> None:
    """To its sender, as a bounce, without its body."""
    (bounce,) = site.came(site.mailboxes)
    assert b"Content-Type: multipart/report" in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


def then_comes_back(send: Callable[[Site], None]) -> Callable[[Site], None]:
    def both(site: Site) -> None:
        send(site)
        comes_back(site)

    return both


def bounces_opened(site: Site) -> None:
    """The mailbox refuses; what is told to the world about it holds what was sealed."""
    site.mailboxes.replies["dot"] = "550 5.2.2 full"
    try:
        asks(site)
        (bounce,) = site.came(site.internet)
    finally:
        site.mailboxes.replies.clear()
    assert QUESTION in bounce


def bounces_headers(site: Site) -> None:
    site.mailboxes.replies["dot"] = "550 5.2.2 full"
    try:
        asks(site)
        (bounce,) = site.came(site.internet)
    finally:
        site.mailboxes.replies.clear()
    assert b"Content-Type: multipart/report" in bounce
    assert QUESTION not in bounce


def refuses_both(site: Site) -> None:
    """One recipient is not known behind the gateway, and the other does not get the mail either."""
    with Talk(("127.0.0.1", site.postfix.doors.smtp)) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<anna@customer.example>").startswith("250")
        assert talk.say(b"RCPT TO:<support@bank.example>").startswith("250")
        assert talk.say(b"RCPT TO:<nobody@bank.example>").startswith("250")
        assert talk.say(b"DATA").startswith("354")
        talk.send(sealed_question(site.bank) + b".\r\n")
        assert talk.reply().startswith("550")
    assert site.mailboxes.mails == []


def refuses_one(site: Site) -> None:
    with Talk(("127.0.0.1", site.postfix.doors.smtp)) as talk:
        talk.greet()
        assert talk.say(b"MAIL FROM:<anna@customer.example>").startswith("250")
        assert talk.say(b"RCPT TO:<support@bank.example>").startswith("250")
        assert talk.say(b"RCPT TO:<nobody@bank.example>").startswith("550")
        assert talk.say(b"DATA").startswith("354")
        talk.send(sealed_question(site.bank) + b".\r\n")
        assert talk.reply().startswith("250")
    site.came(site.mailboxes)


def smuggles(mails: int) -> Callable[[Site], None]:
    """One mail of a stranger, another hidden in it behind a bare line feed (RFC 5321 2.3.8; SMTP smuggling)."""
    def gets(site: Site) -> None:
        inner = (b"MAIL FROM:<mallory@elsewhere.example>\r\nRCPT TO:<support@bank.example>\r\nDATA\r\n"
                 b"From: mallory@elsewhere.example\r\nSubject: hidden\r\n\r\nhidden\r\n")
        outer = code_for("support@bank.example").replace(b"otp@bank.example", b"anna@customer.example")
        with Talk(("127.0.0.1", site.postfix.doors.smtp)) as talk:
            talk.greet()
            for command in (b"MAIL FROM:<anna@customer.example>", b"RCPT TO:<support@bank.example>", b"DATA"):
                assert talk.say(command)[:3] in ("250", "354")
            talk.send(outer + b"\n.\r\n" + inner + b".\r\n")
            assert talk.reply().startswith("250")
            assert talk.say(b"QUIT")
        assert len(site.came(site.mailboxes, mails)) == mails

    return gets


def waits_for_the_gateway(send: Callable[[Site], None]) -> Callable[[Site], None]:
    def then(site: Site) -> None:
        send(site)
        site.waits(b"Connection refused")
        assert site.internet.mails == []

    return then


def forges(site: Site) -> None:
    """A stranger as a colleague, with a verdict of the stranger's own."""
    mail = b"Sealgate-Verdict: trusted\r\n" + code_for("support@bank.example").replace(b"otp@bank", b"staff@bank")
    assert site.submit(site.postfix.doors.smtp, mail, "support@bank.example", sender="staff@bank.example")[:3] == "250"


def forgery_is_read(site: Site) -> None:
    forges(site)
    (mail,) = site.came(site.mailboxes)
    assert b"\nFrom: staff@bank.example\r\n" in mail


def forgery_is_quarantined(site: Site) -> None:
    forges(site)
    site.logged("status=sent (250 2.0.0 Ok")
    assert site.mailboxes.mails == []


# What local(8) does after the mail has come back opened. The user daemon is on every Debian.
LOCAL = "local_transport = local\nforward_path =\n"
TO_A_USER = LOCAL + "alias_maps = inline:{{ support=daemon }}\n"
NO_LOCAL = "postconf -e local_transport=smtp:[127.0.0.1]:{mailboxes} alias_maps="
# A program of the site that sends what it gets to the world by SMTP of its own.
PROGRAM = """cat > {here}/send <<'END'
#!/usr/bin/python3
import smtplib, sys
smtplib.SMTP('127.0.0.1', {internet}).sendmail('x@bank.example', 'helper@elsewhere.example', sys.stdin.buffer.read())
END
chmod 755 {here}/send"""
# A server outside, by a name that no resolver knows here: what smtp(8) cannot find goes to the internet's end.
OUTSIDE = ("postconf -M 'out/unix=out unix - - n - - smtp'",
           "postconf -P 'out/unix/smtp_fallback_relay=[127.0.0.1]:{internet}'")

def is_for_another(site: Site) -> None:
    asks(site)
    site.came(site.mailboxes)
    assert b"RCPT TO:<helper@elsewhere.example>" in b"\n".join(site.mailboxes.lines)


LOCAL_TRAPS = [
    Trap(
        "an included list of an alias leads outside",
        ("main.cf alias_maps", "/list)"),
        leaves_in_clear(asks), arrives_opened,
        main=LOCAL + "alias_maps = inline:{{ support=:include:{here}/list }}\n",
        commands=("printf '# readers\\nhelper@elsewhere.example\\n' > {here}/list",),
        remedy=(NO_LOCAL,),
    ),
    Trap(
        "an alias is a program",
        ("main.cf alias_maps", "can send it to any address"),
        leaves_in_clear(asks),
        main=LOCAL + "alias_maps = inline:{{ support=|{here}/send }}\n",
        commands=(PROGRAM,),
    ),
    Trap(
        "a user's .forward leads outside",
        ("main.cf forward_path", "can send opened mail to any address or program"),
        leaves_in_clear(asks), arrives_opened,
        main=TO_A_USER + "forward_path = {here}/forward.$user\n",
        commands=("echo helper@elsewhere.example > {here}/forward.daemon", "chown daemon {here}/forward.daemon"),
        remedy=("postconf -e forward_path=", NO_LOCAL),
    ),
    Trap(
        "a program delivers to mailboxes",
        ("main.cf mailbox_command", "can send it to any address"),
        leaves_in_clear(asks),
        main=TO_A_USER + "mailbox_command = {here}/send\n", commands=(PROGRAM,),
    ),
    Trap(
        "a program delivers to one mailbox",
        ("main.cf mailbox_command_maps", "can send it to any address"),
        leaves_in_clear(asks),
        main=TO_A_USER + "mailbox_command_maps = inline:{{ daemon={here}/send }}\n", commands=(PROGRAM,),
    ),
    Trap(
        "mail for unknown users goes outside",
        ("main.cf luser_relay", "to helper@elsewhere.example"),
        leaves_in_clear(asks),
        main=LOCAL + "luser_relay = helper@elsewhere.example\n",
    ),
    *(Trap(
        f"{parameter} is a server outside",
        (f"main.cf {parameter}", "sends opened mail to [mail.elsewhere.example]"),
        leaves_in_clear(asks),
        main=f"{LOCAL}{parameter} = {value}\n", commands=OUTSIDE,
    ) for parameter, value in (
        ("mailbox_transport", "out:[mail.elsewhere.example]"),
        ("mailbox_transport_maps", "inline:{{{{ support=out:[mail.elsewhere.example] }}}}"),
        ("fallback_transport", "out:[mail.elsewhere.example]"),
        ("fallback_transport_maps", "inline:{{{{ support=out:[mail.elsewhere.example] }}}}"),
        ("local_transport", "out:[mail.elsewhere.example]"),
    )),
    Trap(
        "a route changes the server and keeps the transport",
        ("main.cf transport_maps", "sends opened mail to [mail.elsewhere.example]"),
        leaves_in_clear(asks),
        main="local_transport = out:[127.0.0.1]:{mailboxes}\n"
             "transport_maps = inline:{{ support@bank.example=:[mail.elsewhere.example] }}\n", commands=OUTSIDE,
    ),
    Trap(
        "smtp(8) gives the mail another recipient",
        ("main.cf smtp_generic_maps", "another recipient: helper@elsewhere.example"),
        is_for_another,
        main="smtp_generic_maps = inline:{{ support@bank.example=helper@elsewhere.example }}\n",
    ),
    Trap(
        "a fall-back takes opened mail while the bank's mail server is away",
        ("out/unix/smtp_fallback_relay", "out/unix sends its opened mail to"),
        leaves_in_clear(asks), arrives_opened,
        main="local_transport = out:[127.0.0.1]:{dead}\n",
        commands=(OUTSIDE[0], ("postconf -P 'out/unix/smtp_fallback_relay="
                  "[mail.elsewhere.example],[127.0.0.1]:{internet}'")),
        remedy=("postconf -P out/unix/smtp_fallback_relay=",
                "postconf -e local_transport=smtp:[127.0.0.1]:{mailboxes}"),
    ),
    Trap(
        "relayhost takes mail of the bank's domains",
        ("main.cf relay_transport", "sends opened mail to [mail.elsewhere.example]"),
        leaves_in_clear(asks), arrives_opened,
        main="mydestination =\nrelay_domains = bank.example\nrelay_transport = out\n"
             "relayhost = [mail.elsewhere.example]\n",
        commands=OUTSIDE, remedy=("postconf -e relay_transport=smtp:[127.0.0.1]:{mailboxes}",),
    ),
    Trap(
        "relayhost takes mail of domains below a relay domain",
        ("main.cf relay_transport", "sends opened mail to [mail.elsewhere.example]"),
        leaves_in_clear(asks), arrives_opened,
        main="mydestination =\nrelay_domains = example\nrelay_transport = out\n"
             "parent_domain_matches_subdomains = relay_domains\nrelayhost = [mail.elsewhere.example]\n",
        commands=OUTSIDE, remedy=("postconf -e relay_transport=smtp:[127.0.0.1]:{mailboxes}",),
    ),
]


def notifies_outside(site: Site) -> None:
    """The mailbox refuses; the postmaster elsewhere gets the header that the gateway wrote for readers."""
    site.mailboxes.replies["dot"] = "550 5.2.2 full"
    try:
        asks(site)
        notice = next(mail for mail in site.came(site.internet, 2) if b"\nSubject: Postmaster Copy" in mail)
    finally:
        site.mailboxes.replies.clear()
    assert b"Sealgate-Verdict:" in notice


LOCAL_TRAPS.append(Trap(
    "the postmaster is outside",
    ("main.cf bounce_notice_recipient", "to helper@elsewhere.example"),
    notifies_outside,
    main="notify_classes = bounce\nbounce_notice_recipient = helper@elsewhere.example\n",
))

TRAPS = [
    *LOCAL_TRAPS,
    Trap(
        "strangers are taken for our own",
        ("content_filter", "signed as the bank's"),
        forgery_is_read, forgery_is_quarantined,
        commands=("postconf -P 127.0.0.1:{smtp}/inet/smtpd_proxy_filter= sealgate/unix/smtp_bind_address=127.0.0.3",
                  "postconf -P '127.0.0.1:{smtp}/inet/content_filter=sealgate:[127.0.0.1]:{gateway_outbound}'",
                  "postconf -P 127.0.0.1:{smtp}/inet/receive_override_options=no_address_mappings"),
        remedy=("postconf -P '127.0.0.1:{smtp}/inet/content_filter=sealgate:[127.0.0.1]:{gateway_inbound}'",),
    ),
    Trap(
        "a door without a filter",
        ("master.cf 127.0.0.1:", "does not pass the gateway"),
        leaves_in_clear(submits), leaves_sealed(submits),
        commands=("postconf -P '127.0.0.1:{submission}/inet/content_filter='",),
        remedy=("postconf -P '127.0.0.1:{submission}/inet/content_filter=sealgate:[127.0.0.1]:{gateway_outbound}'",),
    ),
    Trap(
        "sendmail without a filter",
        ("master.cf pickup/unix", "mail of sendmail(1) does not pass the gateway"),
        leaves_in_clear(by_sendmail), leaves_sealed(by_sendmail),
        commands=("postconf -P 'pickup/unix/content_filter='",),
        remedy=("postconf -P 'pickup/unix/content_filter=sealgate:[127.0.0.1]:{gateway_outbound}'",),
    ),
    Trap(
        "QMQP without a filter",
        ("master.cf 127.0.0.1:", "mail by QMQP does not pass the gateway"),
        qmqp_in_clear, qmqp_sealed,
        commands=("postconf -M '127.0.0.1:{systems}/inet=127.0.0.1:{systems} inet n - n - - qmqpd'",
                  "postconf -P 127.0.0.1:{systems}/inet/content_filter=",
                  "postconf -P 127.0.0.1:{systems}/inet/receive_override_options=no_address_mappings",
                  "postconf -P 127.0.0.1:{systems}/inet/qmqpd_authorized_clients=127.0.0.1"),
        remedy=("postconf -P '127.0.0.1:{systems}/inet/content_filter=sealgate:[127.0.0.1]:{gateway_outbound}'",),
    ),
    Trap(
        "a mail hidden in another",
        ("main.cf smtpd_forbid_bare_newline", "hide another mail behind bare line feeds"),
        smuggles(2), smuggles(1),
        commands=("postconf -e smtpd_forbid_bare_newline=no smtpd_forbid_unauth_pipelining=no",),
        remedy=("postconf -e smtpd_forbid_bare_newline=normalize",),
    ),
    Trap(
        "an action of header_checks in place of the filter",
        ("main.cf header_checks", "FILTER smtp:[127.0.0.1]:"),
        leaves_in_clear(submits), leaves_sealed(submits),
        main="header_checks = regexp:{{{{/^Subject:/ FILTER smtp:[127.0.0.1]:{internet}}}}}\n",
        remedy=("postconf -e header_checks=",),
    ),
    Trap(
        "an action in the checks of a cleanup of its own",
        ("cleanup/unix/header_checks", "bypasses the gateway"),
        leaves_in_clear(submits), leaves_sealed(submits),
        commands=("echo '/^Subject:/ FILTER smtp:[127.0.0.1]:{internet}' > {here}/checks",
                  "postconf -P 'cleanup/unix/header_checks=regexp:{here}/checks'"),
        remedy=("postconf -PX cleanup/unix/header_checks",),
    ),
    Trap(
        "a domain of the bank is another domain's",
        ("main.cf virtual_alias_maps", "redirected to @elsewhere.example"),
        leaves_in_clear(asks), arrives_opened,
        main="virtual_alias_maps = inline:{{ {{ @bank.example = @elsewhere.example }} }}\n",
        remedy=("postconf -e virtual_alias_maps=",),
    ),
    Trap(
        "a fall-back while the gateway is away",
        ("smtp_fallback_relay", "to that relay, unencrypted"),
        leaves_in_clear(submits), waits_for_the_gateway(submits),
        main="smtp_fallback_relay = [127.0.0.1]:{internet}\n",
        commands=("postconf -PX sealgate/unix/smtp_fallback_relay",),
        dead=True,
        remedy=("postconf -P 'sealgate/unix/smtp_fallback_relay='",),
    ),
    Trap(
        "an alias leads opened mail outside",
        ("main.cf virtual_alias_maps", "Opened mail from the gateway"),
        leaves_in_clear(asks), arrives_opened,
        main="virtual_alias_maps = inline:{{ support@bank.example=helper@elsewhere.example }}\n",
        remedy=("postconf -P 127.0.0.1:{opened}/inet/receive_override_options=no_address_mappings",),
    ),
    Trap(
        "an alias of local(8) leads opened mail outside",
        ("main.cf alias_maps", "local(8) sends opened mail there unencrypted"),
        leaves_in_clear(asks), arrives_opened,
        main="local_transport = local\nforward_path =\nalias_maps = inline:{{ support=helper@elsewhere.example }}\n",
        remedy=("postconf -e alias_maps= local_transport=smtp:[127.0.0.1]:{mailboxes}",),
    ),
    Trap(
        "an archive gets its copy twice",
        ("master.cf 127.0.0.1:", "automatic copies arrive twice"),
        archive_gets(2), archive_gets(1),
        main="recipient_bcc_maps = inline:{{ support@bank.example=archive@bank.example }}\n",
        commands=("postconf -P '127.0.0.1:{smtp}/inet/smtpd_proxy_filter='",
                  "postconf -P '127.0.0.1:{smtp}/inet/content_filter=sealgate:[127.0.0.1]:{gateway_inbound}'"),
        remedy=("postconf -P '127.0.0.1:{smtp}/inet/receive_override_options=no_address_mappings'",),
    ),
    Trap(
        "percent signs lead outside",
        ("main.cf allow_percent_hack", "to an outside address"),
        relays_percent, takes_percent_for_a_name,
        main="local_recipient_maps =\n",
        commands=("postconf -e allow_percent_hack=yes",),
        remedy=("postconf -e allow_percent_hack=no",),
    ),
    Trap(
        "no room for what was sealed",
        ("main.cf message_size_limit", "Give 127.0.0.1:"),
        then_comes_back(is_too_large), leaves_sealed(is_too_large),
        commands=("postconf -e message_size_limit=30000",
                  "postconf -P '127.0.0.1:{sealed}/inet/cleanup_service_name=cleanup'"),
        remedy=("postconf -P '127.0.0.1:{sealed}/inet/cleanup_service_name=sealgate-back'",),
    ),
    Trap(
        "a bounce carries what was opened",
        ("main.cf bounce_size_limit", "unencrypted"),
        bounces_opened, bounces_headers,
        main="bounce_size_limit = 50000\n",
        commands=("postconf -P '127.0.0.1:{opened}/inet/smtpd_discard_ehlo_keywords=dsn'",),
        remedy=("postconf -e bounce_size_limit=1",
                "postconf -P '127.0.0.1:{opened}/inet/smtpd_discard_ehlo_keywords='"),
    ),
    Trap(
        "a loop",
        ("main.cf content_filter", "a loop"),
        then_comes_back(submits), leaves_sealed(submits),
        commands=("postconf -PX '127.0.0.1:{sealed}/inet/content_filter'",),
        remedy=("postconf -P '127.0.0.1:{sealed}/inet/content_filter='",),
    ),
    Trap(
        "one refused recipient refuses all",
        ("smtpd_proxy_options", "speed_adjust"),
        refuses_both, refuses_one,
        main="local_recipient_maps =\n",
        commands=("postconf -P '127.0.0.1:{smtp}/inet/smtpd_proxy_options=speed_adjust'",
                  "postconf -P '127.0.0.1:{opened}/inet/local_recipient_maps=inline:{{support@bank.example=ok}}'"),
        remedy=("postconf -P '127.0.0.1:{smtp}/inet/smtpd_proxy_options='",),
    ),
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_a_trap_is_shown_named_and_taken_away(bench: Bench, tmp_path: Path, trap: Trap) -> None:
    holds(trap, tmp_path, bench.at, bench.bank, bench.ends, bench.settings, bench.dead)


def is_released_sealed(site: Site) -> None:
    submits(site)
    site.waits(b"!")  # postqueue's mark of the hold queue
    site.postsuper("-H", "ALL")
    site.postfix.flush()
    (mail,) = site.came(site.internet)
    assert CODE not in mail


def added_recipient_is_decided(site: Site) -> None:
    """helper@elsewhere.example has no certificate: its copy comes back to the sender, without its body."""
    reply = site.submit(site.postfix.doors.submission, code_for("support@bank.example"), "support@bank.example")
    assert reply.startswith("250"), reply
    until(lambda: b"Mail queue is empty" in site.postfix.queue(), 20)
    assert any(b"helper@elsewhere.example" in mail for mail in site.mailboxes.mails)
    assert site.internet.mails == []


@pytest.mark.parametrize(("action", "shows"), [
    ("quarantine", is_released_sealed), ("addrcpt", added_recipient_is_decided)])
def test_behind_the_queue_the_gateway_sees_what_other_milters_did(
    bench: Bench, tmp_path: Path, action: str, shows: Callable[[Site], None],
) -> None:
    """No trap: what docs/milter.md recommends where another milter holds mail or adds recipients."""
    trap = Trap(action, ("", ""), shows, shows, commands=(
        "postconf -P '127.0.0.1:{submission}/inet/smtpd_milters=inet:127.0.0.1:{systems}'",))
    with (other_milter(bench.at.systems, action, "helper@elsewhere.example"),
          with_trap(tmp_path / "beside", bench.at, bench.bank, bench.ends, trap, dead=0, remedied=False) as site):
        assert findings(site, bench.settings) == []
        shows(site)
