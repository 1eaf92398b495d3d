"""Header protection read. Truth: payloads printed in RFC 9788 appendices C and E; attacks by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.canonical import seven_bit
from gateway.mime.entity import decode, parse_entity
from gateway.mime.header import parse_headers
from gateway.smime.protect import protect, unprotect
from tests.support import mails


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


RFC9788_C_3_1_2 = crlf("""MIME-Version: 1.0
Content-Transfer-Encoding: 7bit
Subject: smime-signed-enc-hp-baseline
Message-ID: <smime-signed-enc-hp-baseline@example>
From: Alice <alice@smime.example>
To: Bob <bob@smime.example>
Date: Sat, 20 Feb 2021 10:09:02 -0500
User-Agent: Sample MUA Version 1.0
HP-Outer: Subject: [...]
HP-Outer: Message-ID: <smime-signed-enc-hp-baseline@example>
HP-Outer: From: Alice <alice@smime.example>
HP-Outer: To: Bob <bob@smime.example>
HP-Outer: Date: Sat, 20 Feb 2021 10:09:02 -0500
HP-Outer: User-Agent: Sample MUA Version 1.0
Content-Type: text/plain; charset="utf-8"; hp="cipher"

This is the
smime-signed-enc-hp-baseline
message.
""")
RFC9788_C_3_1_2_OUTER = crlf("""Subject: [...]
Message-ID: <smime-signed-enc-hp-baseline@example>
From: Alice <alice@smime.example>
To: Bob <bob@smime.example>
Date: Sat, 20 Feb 2021 10:09:02 -0500
User-Agent: Sample MUA Version 1.0
MIME-Version: 1.0
Content-Type: application/pkcs7-mime; smime-type="enveloped-data"

""")
RFC9788_E_1 = crlf("""Date: Fri, 21 Jan 2022 20:40:48 -0500
From: Alice <alice@example.net>
To: Bob <bob@example.net>
Subject: Dinner plans
Message-ID: <text-plain-legacy-display@lhp.example>
MIME-Version: 1.0
Content-Type: text/plain; charset="us-ascii"; hp-legacy-display="1";
 hp="cipher"
HP-Outer: Date: Fri, 21 Jan 2022 20:40:48 -0500
HP-Outer: From: Alice <alice@example.net>
HP-Outer: To: Bob <bob@example.net>
HP-Outer: Subject: [...]
HP-Outer: Message-ID: <text-plain-legacy-display@lhp.example>

Subject: Dinner plans

Let's meet at Rama's Roti Shop at 8pm and go to the park
from there.
""")


def opened(payload: bytes, outer: bytes, **more):
    return unprotect(parse_entity(payload), parse_headers(outer), **more)


def promoted(result):
    return {field.name: field.text for field in result.promoted}


def test_rfc_9788_c_3_1_2():
    result = opened(RFC9788_C_3_1_2, RFC9788_C_3_1_2_OUTER)
    assert result.mode == "cipher"
    assert promoted(result) == {
        "Subject": "smime-signed-enc-hp-baseline",
        "Message-ID": "<smime-signed-enc-hp-baseline@example>",
        "From": "Alice <alice@smime.example>",
        "To": "Bob <bob@smime.example>",
        "Date": "Sat, 20 Feb 2021 10:09:02 -0500",
        "User-Agent": "Sample MUA Version 1.0",
    }
    assert result.differs == ("Subject",)
    assert result.unexpected == ()
    assert result.payload.content_type.params == {"charset": "utf-8"}


def test_rfc_9788_e_1():
    outer = RFC9788_E_1.partition(b"MIME-Version")[0].replace(b"Dinner plans", b"[...]") + b"\r\n"
    result = opened(RFC9788_E_1, outer)
    assert decode(result.payload) == b"Let's meet at Rama's Roti Shop at 8pm and go to the park\r\nfrom there.\r\n"
    assert result.unexpected == ()


@pytest.mark.parametrize("name", mails.KINDS)
@pytest.mark.parametrize("encrypt", [True, False])
def test_what_we_write_is_read_back(name, encrypt):
    octets = seven_bit(mails.KINDS[name]())
    made = protect(octets, encrypt=encrypt)
    result = opened(made.payload, made.outer + b"\r\n", encrypted=encrypt)
    assert result.mode == ("cipher" if encrypt else "clear")
    before = [(p.depth, p.type, p.filename, p.content) for p in mails.reader(octets)]
    after = [(p.depth, p.type, p.filename, p.content) for p in mails.reader(result.payload.raw)]
    assert after == before
    assert result.unexpected == ()
    original = parse_headers(octets)
    for field in result.promoted:
        assert original.text(field.name) == field.text
    hidden = {name for name in ("Subject", "Thread-Topic") if encrypt and original.first(name)}
    assert set(result.differs) == hidden


PAYLOAD = crlf("""From: Alice <alice@smime.example>
To: Bob <bob@bank.example>
Subject: Order
Date: Sat, 20 Feb 2021 10:09:02 -0500
Message-ID: <a@smime.example>
{}Content-Type: text/plain; hp="cipher"

text
""")
OUTER = crlf("""From: Alice <alice@smime.example>
To: Bob <bob@bank.example>
Subject: Order
Date: Sat, 20 Feb 2021 10:09:02 -0500
Message-ID: <a@smime.example>
{}
""")


def lies(inner: str = "", outer: str = "", **more):
    return opened(PAYLOAD.replace(b"{}", crlf(inner)), OUTER.replace(b"{}", crlf(outer)), **more)


def test_status_headers_inside_stay_inside():
    result = lies(
        "Sealgate-Signature: valid\nSealgate-Trust-Card: x\nAuthentication-Results: mx.bank.example; smime=pass\n"
        "Received: x\nDKIM-Signature: x\nList-Id: x\nReturn-Path: <x>\nX-Spam-Flag: NO\nARC-Seal: x\n"
    )
    assert set(promoted(result)) == {"From", "To", "Subject", "Date", "Message-ID"}
    assert set(result.ignored) == {
        "Sealgate-Signature",
        "Sealgate-Trust-Card",
        "Authentication-Results",
        "Received",
        "DKIM-Signature",
        "List-Id",
        "Return-Path",
        "X-Spam-Flag",
        "ARC-Seal",
    }


def test_a_bcc_inside_stays_inside():
    result = lies("Bcc: eve@evil.example\nResent-Bcc: eve@evil.example\n")
    assert "Bcc" not in promoted(result)
    assert result.ignored == ("Bcc", "Resent-Bcc")


def test_several_to_and_cc_inside_are_all_shown():
    """RFC 5322 3.6 allows one of each; programs write several, and all of them are signed."""
    inner = b"From: a@b.example\r\nTo: t1@x.example\r\nTo: t2@x.example\r\nCc: c1@x.example\r\nCc: c2@x.example\r\n"
    made = protect(inner + b"Subject: S\r\nMIME-Version: 1.0\r\n\r\ntext\r\n", encrypt=True)
    result = opened(made.payload, made.outer)
    shown = [(field.lower, field.text) for field in result.promoted if field.lower in ("to", "cc")]
    assert shown == [("to", "t1@x.example"), ("to", "t2@x.example"), ("cc", "c1@x.example"), ("cc", "c2@x.example")]
    assert result.unexpected == ()
    assert result.repeated == ()


def test_a_second_from_inside_is_told_and_not_promoted():
    result = lies("From: Boss <boss@bank.example>\nSUBJECT: other\n")
    assert [f.text for f in result.promoted if f.lower == "from"] == ["Alice <alice@smime.example>"]
    assert set(result.repeated) == {"From", "SUBJECT"}


def test_a_forged_hp_outer_excuses_no_other_sender():
    inner = "HP-Outer: From: Boss <boss@bank.example>\nHP-Outer: Reply-To: x@evil.example\nHP-Outer: Subject: Order\n"
    result = opened(
        PAYLOAD.replace(b"{}", crlf(inner)),
        OUTER.replace(b"Alice <alice@smime.example>", b"Boss <boss@bank.example>").replace(
            b"{}", b"Reply-To: x@evil.example\r\n"
        ),
    )
    assert set(result.differs) == {"From", "Reply-To"}
    assert set(result.unexpected) == {"From", "Reply-To"}


def test_an_hp_outer_counts_only_behind_encryption():
    changed = OUTER.replace(b"Subject: Order", b"Subject: [...]").replace(b"{}", b"")
    payload = PAYLOAD.replace(b"{}", b"HP-Outer: Subject: [...]\r\n")
    assert opened(payload, changed).unexpected == ()
    assert opened(payload, changed, encrypted=False).unexpected == ("Subject",)


@pytest.mark.parametrize(
    "added",
    [
        "Reply-To: x@evil.example\n",
        "Cc: x@evil.example\n",
        "Sender: x@evil.example\n",
        "In-Reply-To: <other@thread.example>\n",
        "Comments: x\n",
    ],
)
def test_what_was_added_outside_is_not_shown(added):
    result = lies(outer=added)
    name = added.partition(":")[0]
    assert result.differs == (name,)
    assert result.unexpected == (name,)
    assert name.lower() in result.replaces


def test_trace_fields_outside_are_left_alone():
    result = lies(outer="Received: x\nList-Id: <l.example>\nAuthentication-Results: front; dkim=pass\n")
    assert not {"received", "list-id", "authentication-results"} & result.replaces
    assert result.differs == ()


def test_our_tags_inside_go():
    result = opened(
        PAYLOAD.replace(b"Subject: Order", b"Subject: [signed] =?utf-8?q?=5BSIGNED=5D?= Order").replace(b"{}", b""),
        OUTER.replace(b"{}", b""),
        tags=("[signed]",),
    )
    assert promoted(result)["Subject"] == "Order"


def test_spelling_of_addresses_is_no_difference():
    outer = OUTER.replace(b"Alice <alice@smime.example>", b'"Alice"\r\n <alice@SMIME.example>').replace(b"{}", b"")
    assert opened(PAYLOAD.replace(b"{}", b""), outer).differs == ()


def test_a_display_that_repeats_no_field_stays_in_the_text():
    payload = PAYLOAD.replace(b"{}", b"").replace(b'hp="cipher"', b'hp="cipher"; hp-legacy-display="1"')
    for body in (
        b"Pay nothing: ever\r\n\r\ntext\r\n",
        b"Subject: Other\r\n\r\ntext\r\n",
        b"\r\n\r\ntext\r\n",
        b"Subject: Order\r\nPay to: Eve\r\n\r\ntext\r\n",
        b"Subject: Order\r\n",
    ):
        result = opened(payload.replace(b"\r\n\r\ntext\r\n", b"\r\n\r\n" + body), OUTER.replace(b"{}", b""))
        assert decode(result.payload) == body
    result = opened(
        payload.replace(
            b"\r\n\r\ntext\r\n", b"\r\n\r\nSubject:\r\n Order\r\nTo: Bob <bob@bank.example>\r\n\r\ntext\r\n"
        ),
        OUTER.replace(b"{}", b""),
    )
    assert decode(result.payload) == b"text\r\n"


@pytest.mark.parametrize(
    "element",
    [
        '<div class="header-protection-legacy-display"><pre>Subject: Other</pre></div>',
        '<div class="header-protection-legacy-display"><pre>Subject: Order</pre><b>Pay Eve</b></div>',
        '<div class="header-protection-legacy-display">Subject: Order<div>x</div></div>',
        '<div class="other">Subject: Order</div>',
        '<div class="header-protection-legacy-display">Subject: Order',
    ],
)
def test_an_html_display_that_hides_more_stays(element):
    payload = (
        PAYLOAD.replace(b"{}", b"")
        .replace(b"text/plain; ", b'text/html; hp-legacy-display="1"; ')
        .replace(b"\r\n\r\ntext\r\n", f"\r\n\r\n<html><body>{element}<p>x</p></body></html>\r\n".encode())
    )
    assert element.encode() in decode(opened(payload, OUTER.replace(b"{}", b"")).payload)


# Older ways.


def test_protected_headers_v1_as_thunderbird_and_enigmail_wrote_it():
    payload = crlf(
        'Content-Type: multipart/mixed; boundary="x";\n protected-headers="v1"\nFrom: Alice <alice@smime.example>\n'
        "Subject: Real\n\n--x\n\ntext\n--x--\n"
    )
    result = opened(
        payload, OUTER.replace(b"Subject: Order", b"Subject: ...").replace(b"{}", b"Reply-To: a2@smime.example\r\n")
    )
    assert result.mode == "v1"
    assert promoted(result) == {"From": "Alice <alice@smime.example>", "Subject": "Real"}
    assert "reply-to" not in result.replaces  # such writers copied few fields
    assert result.differs == ("Subject",)


INNER = crlf("""From: Alice <alice@smime.example>
To: Bob <bob@bank.example>
Subject: Wrapped
Date: Sat, 20 Feb 2021 10:09:02 -0500
Message-ID: <a@smime.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

text
""")


@pytest.mark.parametrize("label", ["message/rfc822; forwarded=no", "message/rfc822"])
def test_a_wrapped_message(label):
    result = opened(f"Content-Type: {label}\r\n\r\n".encode() + INNER, OUTER.replace(b"{}", b""))
    assert result.mode == "wrapped"
    assert promoted(result)["Subject"] == "Wrapped"
    assert decode(result.payload) == b"text\r\n"
    assert result.payload.type == "text/plain"


@pytest.mark.parametrize(
    ("header", "inner"),
    [
        ("Content-Type: message/rfc822; forwarded=yes\r\n", INNER),
        ("Content-Type: message/rfc822\r\n", INNER.replace(b"alice@", b"victim@")),  # somebody else's mail, forwarded
        (
            "Content-Type: message/rfc822\r\n",
            INNER.replace(b"<a@", b"<b@").replace(b"10:09", b"10:10"),
        ),  # an older one of hers
        ("Subject: see below\r\nContent-Type: message/rfc822\r\n", INNER),  # a payload with a header of its own
        ("Content-Type: message/rfc822\r\n", INNER.replace(b"From: Alice <alice@smime.example>\r\n", b"")),
        ("Content-Type: text/plain\r\n", b"Subject: just text\r\n\r\n"),
        ('Content-Type: text/plain; hp="none"\r\n', INNER),
        ('Content-Type: text/plain; hp="cipher"\r\nContent-Type: text/plain\r\n', INNER),
    ],
)
def test_no_protection(header, inner):
    assert opened(header.encode() + b"\r\n" + inner, OUTER.replace(b"{}", b"")) is None


@given(st.text(st.sampled_from('HP-Outer: \r\nSubjecthp="cipr;/'), max_size=200))
def test_nothing_makes_the_reader_fail(text):
    payload = f"Content-Type: text/plain; hp=cipher\r\n{text}\r\n\r\nx".encode()
    opened(payload, OUTER.replace(b"{}", text.encode()))


def test_many_hp_outer_fields_are_bounded():
    import time

    payload = PAYLOAD.replace(b"{}", b"HP-Outer: Subject: x\r\n" * 4000)
    started = time.process_time()
    opened(payload, OUTER.replace(b"{}", b"Subject: x\r\n" * 900))
    assert time.process_time() - started < 2
