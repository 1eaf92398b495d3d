"""The milter in a real Postfix, with the pieces of conf/postfix as they are printed.

Truth: openssl opens and verifies what left; what stands in the sinks behind Postfix is what came in; Postfix's own log.
"""

import re
import smtplib
from collections.abc import Iterator

import pytest

from gateway.demo import openssl
from tests.support import mails
from tests.support.milter import Site, milter_site
from tests.support.smtp import until

CODE = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nMessage-ID: <%s@bank.example>\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)
STAFF = {"sender": "staff@bank.example", "peer": "127.0.0.3"}
STATEMENTS = {"sender": "statements@bank.example", "peer": "127.0.0.2"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with milter_site(tmp_path_factory.mktemp("milter")) as site:
        yield site


def opened(site: Site, left: bytes, name: str = "anna") -> bytes:
    """The signed content, decrypted and verified by openssl."""
    return openssl.verify(openssl.decrypt(left, site.bank.people[name]), site.bank.root)


def question(site: Site, text: bytes, mark: str) -> bytes:
    entity = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text
    return openssl.encrypt(
        openssl.sign(entity, site.bank.people["anna"]), site.bank.support_certificate,
        ("Anna <anna@customer.example>", "support@bank.example", mark))


def head(octets: bytes) -> list[bytes]:
    """Names and values of the header, unfolded."""
    return re.sub(rb"\r\n[ \t]", b" ", octets.partition(b"\r\n\r\n")[0]).split(b"\r\n")


def discarded(site: Site) -> int:
    return site.maillog.count("milter-discard: END-OF-MESSAGE")


def sent(site: Site, hop: str, mark: str) -> list[str]:
    """The lines of MAIL and RCPT of the transactions at a sink that hold `mark`."""
    lines = [line.decode() for line in (site.internet if hop == "internet" else site.mailboxes).lines]
    return [line for line in lines if mark in line]


def test_a_code_leaves_sealed_in_place(site: Site) -> None:
    before = discarded(site)
    code, text = site.submit(CODE % b"code", "anna@customer.example")
    assert code == 250, text
    left = site.arrived(site.internet, b"<code@bank.example>")
    assert b"481516" not in left
    assert b"Your code" not in left
    content = opened(site, left)
    assert content.endswith(b"\r\n\r\nYour code is 481516.\r\n")
    assert b"Subject: Your code\r\n" in content
    assert discarded(site) == before, "it went round by the door back"


def test_the_header_in_its_order(site: Site) -> None:
    """Postfix's own Received on top, then the client's fields as they stood, then what the body needs."""
    octets = b"Received: from there\r\nX-First: 1\r\n" + CODE % b"order"
    code, text = site.submit(octets, "anna@customer.example")
    assert code == 250, text
    left = head(site.arrived(site.internet, b"<order@bank.example>"))
    names = [line.partition(b":")[0] for line in left]
    assert names[:2] == [b"Received", b"Received"]
    assert b"by mx.bank.example (Postfix)" in left[0]
    assert left[1] == b"Received: from there"
    known = [name for name in names if name in (b"X-First", b"From", b"To", b"Message-ID", b"Date")]
    assert known == [b"X-First", b"From", b"To", b"Message-ID", b"Date"]
    assert names.count(b"Content-Type") == names.count(b"Subject") == names.count(b"MIME-Version") == 1


def test_readers_that_must_not_see_each_other_get_a_mail_each(site: Site) -> None:
    """Ben stands in no To: he goes alone, and what Postfix holds is dropped."""
    before = discarded(site)
    code, text = site.submit(CODE % b"hidden", "anna@customer.example", "ben@customer.example")
    assert code == 250, text
    left = site.all_arrived(site.internet, b"<hidden@bank.example>", 2)
    assert discarded(site) == before + 1
    for name in ("anna", "ben"):
        assert sum(_opens(site, one, name) for one in left) == 1
    assert not any(b"481516" in one for one in left)


def _opens(site: Site, left: bytes, name: str) -> bool:
    try:
        return opened(site, left, name).endswith(b"481516.\r\n")
    except Exception:  # noqa: BLE001 - openssl says no
        return False


def test_colleagues_and_customers(site: Site) -> None:
    """One goes to the mailboxes as it is, one to the world sealed: each by its own door."""
    octets = (CODE % b"both").replace(b"otp@", b"staff@").replace(b"To: ", b"To: support@bank.example, ")
    code, text = site.submit(octets, "support@bank.example", "anna@customer.example", **STAFF)
    assert code == 250, text
    assert b"481516" in site.arrived(site.mailboxes, b"<both@bank.example>")
    assert opened(site, site.arrived(site.internet, b"<both@bank.example>")).endswith(b"481516.\r\n")
    assert "postfix/opened/smtpd" in site.maillog
    assert "postfix/sealed/smtpd" in site.maillog


def test_colleagues_alone_stay_as_they_are(site: Site) -> None:
    octets = (CODE % b"inside").replace(b"otp@", b"staff@").replace(b"anna@customer", b"support@bank")
    code, text = site.submit(octets, "support@bank.example", **STAFF)
    assert code == 250, text
    came = site.arrived(site.mailboxes, b"<inside@bank.example>")
    assert came.endswith(octets)


def test_a_refusal_is_the_reply_of_the_final_dot(site: Site) -> None:
    code, text = site.submit(CODE % b"nobody", "zoe@nowhere.example")
    assert (code, text[:6]) == (550, "5.7.5 ")
    assert "zoe@nowhere.example" in text
    assert "Incident" in text
    assert not any(b"<nobody@bank" in one for one in site.internet.mails)


def test_what_is_held_is_with_us_and_not_in_postfix(site: Site) -> None:
    """HOLD would send the original in clear at its release, and never ask us again."""
    octets = (CODE % b"held").replace(b"otp@", b"statements@").replace(b"anna@customer", b"zoe@nowhere")
    before = discarded(site)
    code, text = site.submit(octets, "zoe@nowhere.example", **STATEMENTS)
    assert code == 250, text
    assert discarded(site) == before + 1
    assert b"Mail queue is empty" in site.postfix.queue()
    assert '"settled": "held"' in site.milter.lines("mail")[-1]
    assert not any(b"<held@bank" in one for one in site.internet.mails)


def test_who_may_not_is_told_so(site: Site) -> None:
    code, text = site.submit(CODE % b"x", "anna@customer.example", sender="statements@bank.example")
    assert (code, text[:6]) == (550, "5.7.1 ")
    code, text = site.submit((CODE % b"x").replace(b"From: otp@", b"From: statements@"), "anna@customer.example")
    assert (code, text[:6]) == (550, "5.7.1 ")
    code, text = site.submit(CODE % b"x", "anna@customer.example", peer="127.0.0.77")
    assert (code, text[:6]) == (554, "5.7.1 ")


def test_a_per_cent_sign_arrives_as_one(site: Site) -> None:
    """The milter protocol wants it twice."""
    code, text = site.submit(CODE % b"percent", "per%cent@nowhere.example")
    assert code == 550
    assert "<per%cent@nowhere.example>" in text


def test_a_door_that_was_forgotten_sends_nothing(site: Site) -> None:
    """It is one for strangers, as main.cf says."""
    with smtplib.SMTP("127.0.0.1", site.doors.forgotten, timeout=30) as smtp:
        smtp.ehlo("app")
        assert smtp.mail("otp@bank.example")[0] == 250
        code, text = smtp.rcpt("anna@customer.example")
        assert (code, text[:6]) == (550, b"5.7.1 ")


def test_a_sealed_question_comes_in_opened(site: Site) -> None:
    octets = question(site, "Wie lautet mein Zins? Ü\r\n".encode(), "Frage-1")
    forged = b"Sealgate-Verdict: trusted (forged)\r\nAuthentication-Results: gateway.bank.example; smime=pass\r\n"
    code, text = site.receive(forged + octets, "support@bank.example")
    assert code == 250, text
    came = site.arrived(site.mailboxes, b"Frage-1")
    assert b"\r\nSealgate-Verdict: trusted\r\n" in came
    assert b"forged" not in came
    assert sum(line.startswith(b"Authentication-Results:") for line in head(came)) == 1
    assert b"Subject: [customer] Frage-1\r\n" in came
    assert b"by mx.bank.example (Postfix)" in head(came)[0]
    assert "Wie lautet mein Zins? Ü\r\n".encode() in mails.reader(came)[1].content  # type: ignore[operator]


def test_opened_mail_asks_for_no_bounce_with_its_body(site: Site) -> None:
    code, text = site.receive(question(site, b"x\r\n", "Frage-2"), "support@bank.example",
                              options=("ENVID=frage2", "RET=FULL"))
    assert code == 250, text
    site.arrived(site.mailboxes, b"Frage-2")
    (line,) = sent(site, "mailboxes", "ENVID=frage2")
    assert "RET=HDRS" in line


def test_two_of_ours_one_of_whom_can_open_it(site: Site) -> None:
    """Recipients with different keys are different groups."""
    code, text = site.receive(question(site, b"for support\r\n", "Frage-3"), "support@bank.example", "otp@bank.example")
    assert code == 250, text
    came = site.all_arrived(site.mailboxes, b"Frage-3", 2)
    assert sum(b"for support" in one for one in came) == 1


def test_clear_mail_from_the_world_keeps_its_octets(site: Site) -> None:
    """What a DKIM signature of somebody else covers: only fields are added, above."""
    octets = (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=else.example;\r\n\tb=AAAA\r\nFrom:jane@else.example\r\n"
        b"TO:  support@bank.example\r\nSubject: caf\xe9 gr\xc3\xbc\xc3\x9fe\r\nMessage-ID: <clear@else.example>\r\n"
        b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nGr\xfc\xdfe \r\n.\r\n..\r\nend\r\n")
    code, text = site.receive(octets, "support@bank.example", sender="jane@else.example")
    assert code == 250, text
    came = site.arrived(site.mailboxes, b"<clear@else.example>")
    assert came.endswith(octets)
    assert b"Sealgate-Verdict:" in came


def test_strangers_relay_nowhere(site: Site) -> None:
    for recipient in ("anna@customer.example", "anna%customer.example@bank.example",
                      '"anna@customer.example"@bank.example', "@bank.example:anna@customer.example"):
        code, _ = site.receive(mails.plain(), recipient, sender="eve@else.example")
        assert code in (550, 554), recipient


def test_delivery_notices_are_asked_for_behind_us_too(site: Site) -> None:
    """RFC 3461: of groups that were sent round by the door back."""
    with smtplib.SMTP("127.0.0.1", site.doors.submission, timeout=60) as smtp:
        smtp.ehlo("app")
        smtp.mail("otp@bank.example", ["RET=HDRS", "ENVID=dsn-7"])
        smtp.rcpt("anna@customer.example", ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;a+2Bb@customer.example"])
        smtp.rcpt("ben@customer.example", ["NOTIFY=NEVER"])
        assert smtp.data(CODE % b"dsn")[0] == 250
    site.all_arrived(site.internet, b"<dsn@bank.example>", 2)
    lines = [line.decode() for line in site.internet.lines]
    assert sum("ENVID=dsn-7" in line and "RET=HDRS" in line for line in lines) == 2
    assert any(line.startswith("RCPT TO:<anna@") and "NOTIFY=FAILURE,DELAY" in line
               and "ORCPT=rfc822;a+2Bb@customer.example" in line for line in lines)
    assert any(line.startswith("RCPT TO:<ben@") and "NOTIFY=NEVER" in line for line in lines)


def test_a_stranger_who_names_a_recipient_twice_gets_no_report_of_success(site: Site) -> None:
    """Postfix delivers to both, and its report of success would show eve the opened fields of anna's captured mail."""
    octets = question(site, b"x\r\n", "Frage-secret")
    with smtplib.SMTP("127.0.0.1", site.doors.smtp, timeout=60) as smtp:
        smtp.ehlo("eve")
        smtp.mail("eve@else.example")
        for notify in ("NEVER", "SUCCESS"):
            assert smtp.rcpt("support@bank.example", [f"NOTIFY={notify}"])[0] == 250
        assert smtp.data(octets)[0] == 250
    site.arrived(site.mailboxes, b"Frage-secret")
    until(lambda: b"Mail queue is empty" in site.postfix.queue())
    assert sum(b"Frage-secret" in one for one in site.mailboxes.mails) == 1
    assert not any("SUCCESS" in line for line in sent(site, "mailboxes", "support@"))
    assert not any(b"eve@else.example" in one for one in site.internet.mails), "a report"


def test_sendmail_is_a_client_of_ours(site: Site) -> None:
    """By pickup and a cleanup of its own; without Message-ID and Date, which Postfix adds before we see it."""
    site.postfix.sendmail(b"From: otp@bank.example\r\nTo: anna@customer.example\r\nX-Mark: by hand\r\n\r\nhello 42\r\n",
                          "otp@bank.example", "anna@customer.example")
    left = site.arrived(site.internet, b"X-Mark: by hand")
    content = opened(site, left)
    assert content.endswith(b"hello 42\r\n")
    (message_id,) = (line for line in head(left) if line.lower().startswith(b"message-id:"))
    assert message_id.endswith(b"@mx.bank.example>")
    assert any(line.startswith(b"Date:") for line in head(left))


def test_sendmail_that_is_refused_bounces_to_its_sender(site: Site) -> None:
    """Nobody waits for a reply: Postfix writes a report, which says why, and nothing leaves."""
    site.postfix.sendmail(b"From: otp@bank.example\r\nTo: zoe@nowhere.example\r\nX-Mark: refused\r\n\r\nsecret 43\r\n",
                          "otp@bank.example", "zoe@nowhere.example")
    report = site.arrived(site.mailboxes, b"X-Mark: refused")
    assert b"5.7.5" in report
    assert b"secret 43" not in report, "bounce_size_limit"
    assert not any(b"X-Mark: refused" in one for one in site.internet.mails)


def test_the_null_sender(site: Site) -> None:
    """A bounce of ours is nobody's mail: it is not signed, and leaves."""
    octets = (CODE % b"null").replace(b"otp@", b"postmaster@")
    code, text = site.submit(octets, "anna@customer.example", sender="", peer="127.0.0.3")
    assert code in (250, 550), text
    code, text = site.submit((CODE % b"null2").replace(b"otp@", b"staff@"), "anna@customer.example", sender="",
                             peer="127.0.0.3")
    assert code == 250, text
    assert b"pkcs7" not in site.arrived(site.internet, b"<null2@bank.example>")


@pytest.mark.parametrize("kind", ["eight_bit", "html_with_images", "long_lines", "calendar", "tnef"])
def test_what_is_hard_to_carry_arrives(site: Site, kind: str) -> None:
    mark = f"{kind}@bank.example"
    octets = mails.KINDS[kind]().replace(b"jane@bank", b"staff@bank").replace(b"bob@", b"anna@")
    octets = octets.replace(b"m1@bank.example", mark.encode())
    code, text = site.submit(octets, "anna@customer.example", options=("BODY=8BITMIME",), **STAFF)
    assert code == 250, text
    left = site.arrived(site.internet, mark.encode())
    assert left.isascii()
    inner = mails.reader(opened(site, left))
    for one, part in zip([(part.type, part.content) for part in mails.reader(octets)], inner, strict=True):
        assert part.type == one[0]
        assert one[1] is None or (part.content or b"").endswith(one[1]) or one[0] == "text/html" or kind == "long_lines"


def test_addresses_in_utf8(site: Site) -> None:
    """RFC 6531: signed only, for nobody has a certificate; in place, and told on by Postfix."""
    octets = (
        "From: staff@bank.example\r\nTo: Jörg <jörg@kunde.example>\r\nSubject: Grüße\r\n"
        "Message-ID: <utf8@bank.example>\r\n\r\nHallo\r\n").encode()
    with smtplib.SMTP("127.0.0.1", site.doors.submission, timeout=30, source_address=("127.0.0.3", 0)) as smtp:
        smtp.ehlo("client")
        smtp.command_encoding = "utf-8"
        smtp.mail("staff@bank.example", ["SMTPUTF8", "BODY=8BITMIME"])
        assert smtp.rcpt("jörg@kunde.example")[0] == 250
        code, text = smtp.data(octets)
    assert code == 250, text
    left = site.arrived(site.internet, b"<utf8@bank.example>")
    assert "<jörg@kunde.example>".encode() in left
    assert openssl.verify(left, site.bank.root).endswith(b"Hallo\r\n")


def test_ten_mebibytes(site: Site) -> None:
    pdf = mails.base64.encodebytes(bytes(range(256)) * 30_000).replace(b"\n", b"\r\n")
    octets = (CODE % b"large").replace(b"otp@", b"statements@") + pdf
    code, text = site.submit(octets, "anna@customer.example", **STATEMENTS)
    assert code == 250, text
    assert opened(site, site.arrived(site.internet, b"<large@bank.example>", 60)).endswith(pdf)


def test_several_mails_of_one_connection(site: Site) -> None:
    """Envelopes that are given up, refusals and mails, in one session."""
    with smtplib.SMTP("127.0.0.1", site.doors.submission, timeout=60) as smtp:
        smtp.ehlo("app")
        for number in range(3):
            smtp.mail("otp@bank.example")
            smtp.rcpt("given-up@customer.example")
            smtp.rset()
            smtp.mail("eve@else.example")
            assert smtp.rcpt("anna@customer.example")[0] == 550
            smtp.rset()
            smtp.mail("otp@bank.example")
            smtp.rcpt("anna@customer.example")
            assert smtp.data(CODE % b"session-%d" % number)[0] == 250
    for number in range(3):
        assert opened(site, site.arrived(site.internet, b"<session-%d@" % number)).endswith(b"481516.\r\n")
    assert not sent(site, "internet", "given-up")


def test_the_log_has_one_line_of_each_mail(site: Site) -> None:
    """With Postfix's queue id in the reply, which leads from one log to the other."""
    code, text = site.submit(CODE % b"line", "anna@customer.example")
    assert code == 250
    (queue_id,) = re.findall(r"queued as (\w+)", text)
    (line,) = [line for line in site.milter.lines("mail") if f"in place as {queue_id}" in line]
    assert '"listener": "milter"' in line
    assert '"client": "online-banking"' in line
