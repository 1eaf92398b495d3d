"""What the bank's systems and its customers see: swaks before the real relay, a real Postfix behind it.

Truth: openssl opens and verifies what left; what stands in the mailboxes' sink is what came in.
"""

import smtplib
import time

import pytest

from gateway.cms.enveloped_reader import decrypt, parse_enveloped
from gateway.demo import openssl
from gateway.mime.entity import parse_entity
from gateway.mime.smime_forms import Cms, detect
from tests.e2e.conftest import CROWD, PASSWORD, Site
from tests.support import mails
from tests.support.envelopes import SpyKey
from tests.support.pki import get_pki
from tests.support.smtp import until

CODE = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nMessage-ID: <%s@bank.example>\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)
STAFF = {"sender": "staff@bank.example", "peer": "127.0.0.3"}


def opened(site: Site, left: bytes, name: str = "anna") -> bytes:
    """The signed content, decrypted and verified by openssl."""
    bank = site.relay.bank
    return openssl.verify(openssl.decrypt(left, bank.people[name]), bank.root)


def question(site: Site, text: bytes, mark: str) -> bytes:
    bank = site.relay.bank
    entity = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text
    return openssl.encrypt(
        openssl.sign(entity, bank.people["anna"]),
        bank.support_certificate,
        ("Anna <anna@customer.example>", "support@bank.example", mark),
    )


def test_a_code_leaves_sealed(site: Site) -> None:
    code, told = site.swaks(CODE % b"code", "anna@customer.example", sender="otp@bank.example")
    assert code == 0, told
    assert "<~  250 2.0.0" in told.replace("<-", "<~")
    left = site.arrived(site.internet, b"<code@bank.example>")
    assert b"481516" not in left
    assert b"Your code" not in left
    content = opened(site, left)
    assert b"\r\n\r\nYour code is 481516.\r\n" in content  # swaks puts line ends behind it
    assert b"Subject: Your code\r\n" in content
    entity = openssl.decrypt(left, site.relay.bank.people["anna"])
    assert openssl.verify_stamp(entity, site.relay.bank.root, site.relay.bank.scratch)


def test_a_sealed_question_comes_in_opened(site: Site) -> None:
    code, told = site.swaks(
        question(site, b"Wie lautet mein Zins? \xc3\x9c\r\n", "Frage-1"),
        "support@bank.example",
        sender="anna@customer.example",
        port=site.relay.bank.ports.inbound,
    )
    assert code == 0, told
    came = site.arrived(site.mailboxes, b"Frage-1")
    assert b"\r\nSealgate-Verdict: trusted\r\n" in came
    assert b"Authentication-Results: gateway.bank.example; smime=pass" in came
    assert b"Subject: [customer] Frage-1\r\n" in came
    assert "Wie lautet mein Zins? Ü\r\n".encode() in mails.reader(came)[1].content  # type: ignore[operator]


def test_opened_mail_asks_for_no_bounce_with_its_body(site: Site) -> None:
    site.swaks(
        question(site, b"x\r\n", "Frage-2"),
        "support@bank.example",
        sender="anna@customer.example",
        port=site.relay.bank.ports.inbound,
    )
    site.arrived(site.mailboxes, b"Frage-2")
    assert any(b"MAIL FROM:<anna@customer.example>" in line and b"RET=HDRS" in line for line in site.mailboxes.lines)


def test_an_unknown_user_is_refused_at_rcpt(site: Site) -> None:
    code, told = site.swaks(
        mails.plain(), "nobody@bank.example", sender="anna@customer.example", port=site.relay.bank.ports.inbound
    )
    assert code == 24, told
    refused = next(line for line in told.splitlines() if line.startswith("<**"))
    assert refused.startswith("<** 550 5.1.1 "), refused
    assert "mx.bank.example" not in told
    assert "relay_recipient" not in told


def test_known_and_unknown_together(site: Site) -> None:
    """Each RCPT gets its own answer; the known one gets the mail."""
    octets = mails.plain().replace(b"Your statement", b"two-of-us").replace(b"jane@bank", b"jane@else")
    code, told = site.swaks(
        octets,
        "support@bank.example",
        "nobody@bank.example",
        sender="jane@else.example",
        port=site.relay.bank.ports.inbound,
    )
    assert told.count("<** 550 5.1.1") == 1
    assert code == 0, told
    site.arrived(site.mailboxes, b"two-of-us")


def test_we_relay_for_nobody(site: Site) -> None:
    for recipient in (
        "anna@customer.example",
        "anna%customer.example@bank.example",
        '"anna@customer.example"@bank.example',
        "@bank.example:anna@customer.example",
    ):
        with smtplib.SMTP("127.0.0.1", site.relay.bank.ports.inbound, timeout=30) as smtp:
            smtp.helo("stranger.example")
            smtp.mail("eve@else.example")
            code, text = smtp.docmd(f"RCPT TO:<{recipient}>")
            assert code == 550, (recipient, text)


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        ("eight_bit", True),
        ("eight_bit", False),
        ("html_with_images", True),
        ("long_lines", False),
        ("calendar", True),
        ("tnef", True),
    ],
)
def test_what_is_hard_to_carry_arrives(site: Site, kind: str, declared: bool) -> None:
    """8-bit with BODY=8BITMIME or without a word, lines of 20,000 octets; Postfix and the reader get the same."""
    mark = f"{kind}-{declared}@bank.example"
    octets = mails.KINDS[kind]().replace(b"jane@bank", b"staff@bank").replace(b"bob@", b"anna@")
    octets = octets.replace(b"m1@bank.example", mark.encode())
    options = ("BODY=8BITMIME",) if declared else ()
    code, text = site.relay.submit(octets, ["anna@customer.example"], options=options, **STAFF)
    assert code == 250, text
    left = site.arrived(site.internet, mark.encode())
    assert left.isascii()
    inner = mails.reader(opened(site, left))
    contents = [(part.type, part.content) for part in mails.reader(octets)]
    # Without the display of the hidden subject, which stands before the text for readers that know no RFC 9788.
    for (type_, content), part in zip(contents, inner, strict=True):
        assert part.type == type_
        assert content is None or (part.content or b"").endswith(content) or type_ == "text/html"


def test_eight_bit_in_is_eight_bit_behind(site: Site) -> None:
    octets = mails.eight_bit().replace(b"jane@bank.example", b"jane@else.example").replace(b"m1@bank", b"in8@bank")
    code, text = site.relay.receive(
        octets, ["support@bank.example"], sender="jane@else.example", options=("BODY=8BITMIME",)
    )
    assert code == 250, text
    came = site.arrived(site.mailboxes, b"<in8@bank.example>")
    assert came.endswith(octets.partition(b"\r\n\r\n")[2])


def test_addresses_in_utf8(site: Site) -> None:
    """RFC 6531 all the way: signed, for nobody has a certificate, and told on to Postfix and behind it."""
    octets = (
        "From: staff@bank.example\r\nTo: Jörg <jörg@kunde.example>\r\nSubject: Grüße\r\n"
        "Message-ID: <utf8@bank.example>\r\n\r\nHallo\r\n"
    )
    with smtplib.SMTP("127.0.0.1", site.relay.bank.ports.outbound, timeout=30, source_address=("127.0.0.3", 0)) as smtp:
        smtp.ehlo("client")
        assert smtp.has_extn("smtputf8")
        smtp.command_encoding = "utf-8"
        smtp.mail("staff@bank.example", ["SMTPUTF8", "BODY=8BITMIME"])
        assert smtp.rcpt("jörg@kunde.example")[0] == 250
        code, text = smtp.data(octets.encode())
    assert code == 250, text
    left = site.arrived(site.internet, b"<utf8@bank.example>")
    assert "<jörg@kunde.example>".encode() in left
    content = openssl.verify(left, site.relay.bank.root)
    assert content.endswith(b"Hallo\r\n")
    assert any(b"SMTPUTF8" in line for line in site.internet.lines)
    assert any("RCPT TO:<jörg@kunde.example>".encode() in line for line in site.internet.lines)


def test_a_hundred_recipients_and_one_more(site: Site) -> None:
    """RFC 5321 4.5.3.1.8: a hundred are taken, further ones 452; nobody of them has a certificate: one mail, signed."""
    octets = (CODE % b"hundred").replace(b"otp@", b"staff@")
    with smtplib.SMTP("127.0.0.1", site.relay.bank.ports.outbound, timeout=60, source_address=("127.0.0.3", 0)) as smtp:
        smtp.ehlo("client")
        smtp.mail("staff@bank.example")
        codes = [smtp.rcpt(f"r{number}@nowhere.example")[0] for number in range(101)]
        assert codes == [250] * 100 + [452]
        assert smtp.data(octets)[0] == 250
    left = site.arrived(site.internet, b"<hundred@bank.example>")
    assert openssl.verify(left, site.relay.bank.root).endswith(b"481516.\r\n")


def test_a_hundred_hidden_readers_get_a_hundred_mails(site: Site) -> None:
    """In no To or Cc: nobody may see in the recipient infos who else got it."""
    before = len(site.internet.mails)
    began = time.monotonic()
    code, text = site.relay.submit(
        (CODE % b"crowd").replace(b"anna@customer.example", b"undisclosed-recipients:;"), CROWD
    )
    assert code == 250, text
    assert time.monotonic() - began < 30
    until(lambda: len(site.internet.mails) >= before + 100, 30)
    left = site.internet.mails[before:]
    assert len(left) == len(set(left)) == 100
    form = detect(parse_entity(left[0]))
    assert isinstance(form, Cms)
    enveloped = parse_enveloped(form.der)
    assert len(enveloped.recipients) == 1
    readers = [SpyKey(get_pki().recipient("p-256", email=address)) for address in CROWD]
    assert b"481516" in decrypt(enveloped, readers)


def test_twenty_mebibytes(site: Site) -> None:
    pdf = mails.base64.encodebytes(b"%PDF-1.7\r\n" + bytes(range(256)) * 57_000).replace(b"\n", b"\r\n")
    assert len(pdf) > 19_500_000
    octets = (
        b"From: statements@bank.example\r\nTo: anna@customer.example\r\nSubject: Statement\r\n"
        b"Message-ID: <large@bank.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nyour statement\r\n--b\r\nContent-Type: application/pdf; name=s.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + pdf + b"--b--\r\n"
    )
    began = time.monotonic()
    code, told = site.swaks(octets, "anna@customer.example", sender="statements@bank.example", peer="127.0.0.2")
    assert code == 0, told
    assert time.monotonic() - began < 60
    left = site.arrived(site.internet, b"<large@bank.example>", 60)
    inner = openssl.decrypt(left, site.relay.bank.people["anna"])
    assert pdf in openssl.verify(inner, site.relay.bank.root)


def test_a_client_logs_in_under_tls(site: Site) -> None:
    """From an address that is nobody's: only the login makes it online banking."""
    with smtplib.SMTP("127.0.0.1", site.submission, timeout=30, source_address=("127.0.0.9", 0)) as smtp:
        smtp.ehlo("portal")
        assert not smtp.has_extn("auth"), "no passwords without TLS"
        assert smtp.mail("otp@bank.example")[0] == 530
        smtp._host = "127.0.0.1"  # the name that is asked of the certificate
        assert smtp.starttls(context=site.tls.trusting())[0] == 220
        smtp.ehlo("portal")
        assert smtp.mail("otp@bank.example")[0] in (530, 550), "known by nothing yet"
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            smtp.login("portal", "wrong " + PASSWORD)
        assert caught.value.smtp_code == 535
        assert smtp.login("portal", PASSWORD)[0] == 235
        smtp.sendmail("otp@bank.example", ["anna@customer.example"], CODE % b"login")
    left = site.arrived(site.internet, b"<login@bank.example>")
    assert b"481516" in opened(site, left)
    assert b"with ESMTPSA" in left


def test_swaks_may_not_log_in_in_the_open(site: Site) -> None:
    code, told = site.swaks(
        CODE % b"never",
        "anna@customer.example",
        sender="otp@bank.example",
        port=site.submission,
        peer="127.0.0.9",
        more=("--auth", "PLAIN", "--auth-user", "portal", "--auth-password", PASSWORD),
    )
    assert code == 28, told


def test_who_may_not_is_told_so(site: Site) -> None:
    code, told = site.swaks(CODE % b"foreign", "anna@customer.example", sender="otp@bank.example", peer="127.0.0.2")
    assert code in (23, 24), told
    code, told = site.swaks(
        (CODE % b"header-from").replace(b"From: otp@", b"From: statements@"),
        "anna@customer.example",
        sender="otp@bank.example",
    )
    assert code == 26, told
    assert "<** 550 5.7.1" in told


def test_nobody_without_a_certificate_gets_a_code(site: Site) -> None:
    code, told = site.swaks(CODE % b"nocert", "zoe@nowhere.example", sender="otp@bank.example")
    assert code == 26, told
    assert "<** 550 5.7.5" in told
    assert not any(b"<nocert@" in one for one in site.internet.mails)
