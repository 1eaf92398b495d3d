"""Header protection written. Truth: RFC 9788 2, 3.2.1, 5.2; the standard library reads the payload."""

import email
import email.policy

import pytest

from gateway.mime.canonical import is_seven_bit, seven_bit
from gateway.mime.entity import decode, parse_entity
from gateway.mime.header import parse_headers
from gateway.smime.protect import protect, split
from tests.support import mails

MAIL = (
    b"Received: from x by y; Tue, 24 Nov 2026 12:00:00 +0000\r\nDKIM-Signature: v=1; d=x\r\n"
    b"From: Alice <alice@bank.example>\r\nTo: Bob <bob@customer.example>\r\nBcc: hidden@customer.example\r\n"
    b"Subject: Dinner plans\r\nKeywords: private\r\nComments: very private\r\nHP-Outer: Subject: forged\r\n"
    b"Message-ID: <m@bank.example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: text/plain; charset=us-ascii; hp="clear"; hp-legacy-display="1"\r\n'
    b"Content-Language: en\r\n\r\nLet's meet.\r\n"
)


def fields(section: bytes):
    return [(f.name, f.text) for f in parse_headers(section).fields]


def test_signed_only_hides_nothing():
    made = protect(MAIL, encrypt=False)
    read = email.message_from_bytes(made.payload, policy=email.policy.default)
    assert read.get_param("hp") == "clear"
    assert read.get_param("protected-headers") == "v1"
    assert read.get_param("hp-legacy-display") is None
    assert "hp-outer" not in read
    assert read["subject"] == "Dinner plans"
    assert read.get_content() == "Let's meet.\r\n"
    assert ("Subject", "Dinner plans") in fields(made.outer)
    assert ("Keywords", "private") in fields(made.outer)


def test_encrypted_hides_what_the_baseline_hides():
    made = protect(MAIL, encrypt=True)
    assert fields(made.outer) == [
        ("Received", "from x by y; Tue, 24 Nov 2026 12:00:00 +0000"),
        ("From", "Alice <alice@bank.example>"),
        ("To", "Bob <bob@customer.example>"),
        ("Bcc", "hidden@customer.example"),
        ("Subject", "[...]"),
        ("Message-ID", "<m@bank.example>"),
    ]
    headers = parse_headers(made.payload)
    assert [(f.name, f.unfolded) for f in headers.fields] == [
        ("From", "Alice <alice@bank.example>"),
        ("To", "Bob <bob@customer.example>"),
        ("Subject", "Dinner plans"),
        ("Keywords", "private"),
        ("Comments", "very private"),
        ("Message-ID", "<m@bank.example>"),
        ("HP-Outer", "From: Alice <alice@bank.example>"),
        ("HP-Outer", "To: Bob <bob@customer.example>"),
        ("HP-Outer", "Subject: [...]"),
        ("HP-Outer", "Message-ID: <m@bank.example>"),
        ("Content-Type", 'text/plain; charset="us-ascii"; hp-legacy-display="1"; hp="cipher"; protected-headers="v1"'),
        ("Content-Language", "en"),
    ]
    assert made.payload.endswith(b"\r\n\r\nSubject: Dinner plans\r\n\r\nLet's meet.\r\n")


def test_no_other_field_tells_what_encryption_hides():
    """Exchange repeats the subject; a signature of a hop before us holds the hash of the body (a code is guessed)."""
    more = b"Thread-Topic: Dinner plans\r\nARC-Message-Signature: i=1; bh=x\r\nX-Google-DKIM-Signature: v=1; bh=x\r\n"
    told = {"thread-topic", "dkim-signature", "arc-message-signature", "x-google-dkim-signature"}
    outer = {field.lower for field in parse_headers(protect(more + MAIL, encrypt=True).outer).fields}
    assert not outer & told
    inner = parse_headers(protect(more + MAIL, encrypt=True).payload)
    assert inner.text("thread-topic") == "Dinner plans"
    assert not any(field.unfolded.startswith("Thread-Topic") for field in inner.all("hp-outer"))
    split_outer = {field.lower for field in parse_headers(split(more + MAIL, encrypt=True).outer).fields}
    assert split_outer & told == {"thread-topic"}
    open_subject = protect(more + MAIL, encrypt=True, outer_subject=None).outer
    assert {field.lower for field in parse_headers(open_subject).fields} & told == {"thread-topic"}
    assert {field.lower for field in parse_headers(protect(more + MAIL, encrypt=False).outer).fields} >= told


def test_the_outer_subject_may_be_another_or_stay():
    other = protect(MAIL, outer_subject="Vertrauliche Nachricht für Sie", encrypt=True)
    assert ("Subject", "Vertrauliche Nachricht für Sie") in fields(other.outer)
    assert other.outer.isascii()
    assert b"HP-Outer: Subject: =?utf-8?" in other.payload
    stays = protect(MAIL, outer_subject=None, encrypt=True)
    assert ("Subject", "Dinner plans") in fields(stays.outer)
    assert b"hp-legacy-display" not in stays.payload
    assert stays.payload.endswith(b"\r\n\r\nLet's meet.\r\n")


def test_without_legacy_display():
    made = protect(MAIL, encrypt=True, legacy_display=False)
    assert b"hp-legacy-display" not in made.payload
    assert made.payload.endswith(b"\r\n\r\nLet's meet.\r\n")
    assert b'hp="cipher"' in made.payload


def test_no_subject_no_display():
    made = protect(b"From: a@b.example\r\n\r\ntext\r\n", encrypt=True)
    assert b"Subject" not in made.outer + made.payload
    assert b'Content-Type: text/plain; hp="cipher"' in made.payload


@pytest.mark.parametrize("name", mails.KINDS)
@pytest.mark.parametrize("encrypt", [True, False])
def test_every_mail_keeps_its_parts_and_its_form(name, encrypt):
    octets = seven_bit(mails.KINDS[name]())
    made = protect(octets, encrypt=encrypt)
    assert is_seven_bit(made.payload) == is_seven_bit(octets)
    before, after = mails.reader(octets), mails.reader(made.payload)
    assert [part.depth for part in before] == [part.depth for part in after]
    for one, other in zip(before, after, strict=True):
        shown = dict(other.params).get("hp-legacy-display") == "1"
        assert (one.type, one.filename) == (other.type, other.filename)
        assert one.charset in {other.charset, None} or shown
        if not shown:
            assert one.content == other.content
        elif one.type == "text/plain":
            assert other.content.endswith(one.content)
            assert other.content.startswith(b"Subject: ")
    inner = parse_headers(made.payload)
    for name_ in ("from", "to", "subject", "message-id", "references"):
        assert inner.texts(name_) == parse_headers(octets).texts(name_)
    assert max(map(len, made.payload.split(b"\r\n"))) <= 998


def test_the_display_stands_in_every_alternative_and_nowhere_else():
    octets = seven_bit(mails.html_with_images())
    made = protect(octets, encrypt=True)
    root = parse_entity(made.payload)
    marked = [e.type for e in root.walk() if e.content_type.params.get("hp-legacy-display") == "1"]
    assert marked == ["text/plain", "text/html"]
    html = next(e for e in root.walk() if e.type == "text/html")
    assert decode(html).startswith(
        b'<html><head><title>x</title></head><body bgcolor="#fff"><div class="header-protection-legacy-display">\r\n'
        b"<pre>Subject: Your statement</pre></div>\r\n<p>Gr\xfc\xdfe</p>"
    )
    csv = next(e for e in root.walk() if e.type == "text/csv")
    assert decode(csv) == b"a;b\r\n1;2"


def test_a_subject_that_the_charset_of_the_text_lacks():
    def shown(charset: bytes, subject: str) -> bytes:
        octets = seven_bit(
            f"From: a@b.example\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n".encode()
            + b"Content-Type: text/plain; charset="
            + charset
            + b"\r\n\r\ntext\r\n"
        )
        return protect(octets, encrypt=True).payload

    ascii_ = parse_entity(shown(b"us-ascii", "Grüße €"))
    assert ascii_.content_type.params["charset"] == "utf-8"
    assert decode(ascii_) == "Subject: Grüße €\r\n\r\ntext\r\n".encode()
    assert decode(parse_entity(shown(b"iso-8859-1", "Grüße"))) == "Subject: Grüße\r\n\r\ntext\r\n".encode("latin-1")
    assert decode(parse_entity(shown(b"iso-8859-1", "5 €"))) == "Subject: 5 €\r\n\r\ntext\r\n".encode()
    assert decode(parse_entity(shown(b"iso-2022-jp", "5 ä"))) == "Subject: 5 ä\r\n\r\ntext\r\n".encode()
    assert decode(parse_entity(shown(b"x-klingon", "y"))) == b"text\r\n"


@pytest.mark.parametrize(
    ("charset", "text"),
    [("iso-8859-1", "Grüße".encode("latin-1")), ("iso-2022-jp", "\u65e5\u672c".encode("iso-2022-jp"))],
)
def test_a_text_that_cannot_become_utf_8_gets_no_display(charset, text):
    """A display with `?` for what the charset lacks repeats no field, and would stay in the text when it is read."""
    octets = seven_bit(
        "From: a@b.example\r\nSubject: 5 \u20ac \U0001f600\r\nMIME-Version: 1.0\r\n".encode()
        + f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + text + b"\r\n")
    made = parse_entity(protect(octets, encrypt=True).payload)
    assert decode(made) == text + b"\r\n"
    assert made.content_type.params["charset"] == charset


@pytest.mark.parametrize("label", ["quoted-printable;", "Quoted-Printable (RFC 2045)", "base64;"])
def test_a_label_that_some_readers_do_not_know_is_written_right(label):
    """Truth: the standard library reads a body whose label it does not know as it stands."""
    body = "SGVsbG8=" if label.startswith("base64") else "Hello"
    whole = f"Content-Type: text/plain\r\nContent-Transfer-Encoding: {label}\r\n\r\n{body}\r\n".encode()
    for octets in (whole, b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + whole + b"--b--\r\n"):
        payload = protect(b"Subject: S\r\nMIME-Version: 1.0\r\n" + octets, encrypt=True).payload
        text = next(part for part in mails.reader(payload) if part.type == "text/plain")
        assert text.content is not None
        assert text.content.strip() == b"Subject: S\r\n\r\nHello"


def test_html_is_escaped():
    octets = (
        b"From: a@b.example\r\nSubject: <script>x</script> & =?utf-8?q?=E2=82=AC?=\r\n"
        b"Content-Type: text/html\r\n\r\n<p>x</p>\r\n"
    )
    body = decode(parse_entity(protect(octets, encrypt=True).payload))
    assert body == (
        b'<div class="header-protection-legacy-display">\r\n<pre>Subject: &lt;script&gt;x&lt;/script&gt; '
        b"&amp; &#8364;</pre></div>\r\n<p>x</p>\r\n"
    )


def test_an_hp_outer_never_makes_a_line_too_long():
    octets = b"From: a@b.example\r\nX-Long: " + b"x" * 990 + b"\r\n\r\ntext\r\n"
    assert is_seven_bit(octets)
    made = protect(octets, encrypt=True)
    assert is_seven_bit(made.payload)
    assert b"HP-Outer: X-Long:\r\n x" in made.payload


def test_split_protects_nothing():
    made = split(MAIL)
    assert made.payload == (
        b'Content-Type: text/plain; charset=us-ascii; hp="clear"; hp-legacy-display="1"\r\n'
        b"Content-Language: en\r\n\r\nLet's meet.\r\n"
    )
    assert b"Subject: Dinner plans" in made.outer
    assert b"MIME-Version" not in made.outer


def test_the_display_never_makes_one_part_two():
    octets = (
        b"From: a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n"
        b"--m\r\nContent-Type: text/html\r\n\r\n<body>--m\r\nContent-Type: text/html\r\n\r\ninjected\r\n--m--\r\n"
    )
    root = parse_entity(protect(octets, encrypt=True).payload)
    assert len(root.children) == 1
    assert b"injected" in decode(root.children[0])
