"""Trace and status fields. Truth: RFC 8601 2.2 on ids, RFC 5321 4.4, INTERFACES on what is removed from outside."""

import base64
import itertools
import time

import pytest

from gateway.mime.header import parse_headers, remove_fields
from gateway.mime.trace import (
    authserv_id,
    forged_status,
    is_trace,
    keyword_spans,
    keywords,
    message_id,
    new_message_id,
    strip_subject_tags,
    strip_tags,
    without_keywords,
)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b" mx.bank.example; dkim=pass", "mx.bank.example"),
        (b" MX.Bank.example 1; none", "mx.bank.example"),
        (b" (a (nested) comment) mx.bank.example (v2); none", "mx.bank.example"),
        (b' "mx.bank.example"; none', "mx.bank.example"),
        (b"\r\n mx.bank.example;\r\n dkim=pass", "mx.bank.example"),
        (b" mx.bank.example.; none", "mx.bank.example"),
        (b"", ""),
        (b" ;", ""),
        (b" (never closed mx.bank.example; x", ""),
        (b" (\\)) mx.bank.example; smime=pass", "mx.bank.example"),
        (b' "mx\\.bank.example"; smime=pass', "mx.bank.example"),
        (b" mx(x).bank.example; smime=pass", "mx.bank.example"),
        (b" (a;b) mx.bank.example (;) 1; smime=pass", "mx.bank.example"),
        (b" \x0bmx.bank.example; smime=pass", "mx.bank.example"),
        # What some reader may take for the id, and another not, is nobody's.
        (b" =?utf-8?q?mx.bank.example?=; smime=pass", ""),
        (b" mx.bank.example/1; smime=pass", ""),
        (b" mx. bank.example; smime=pass", ""),
        (b' "mx.bank".example; smime=pass', ""),
        (b' "mx.bank.example; smime=pass', ""),
    ],
)
def test_ids(value, found):
    assert authserv_id(value) == found


def test_only_what_claims_to_be_ours_goes():
    octets = (
        b"Authentication-Results: mx.bank.example; smime=pass\r\n"
        b"authentication-results : (x) MX.BANK.EXAMPLE; dkim=pass\r\n"
        b"Authentication-Results: front.bank.example; dmarc=pass\r\nAuthentication-Results:\r\n"
        b"ARC-Authentication-Results: i=1; mx.bank.example; dmarc=pass\r\n"
        b"ARC-Authentication-Results: i=1 (;) ; mx.bank.example; dmarc=pass\r\n"
        b"ARC-Authentication-Results: i=1\r\n"
        b"SEALGATE-Identity: forged\r\nX-Sealgate-Anything: 1\r\nSealgater: mine\r\n\r\nbody"
    )
    assert remove_fields(octets, forged_status(["mx.bank.example"])) == (
        b"Authentication-Results: front.bank.example; dmarc=pass\r\nSealgater: mine\r\n\r\nbody"
    )


@pytest.mark.parametrize(
    ("subject", "left"),
    [
        ("[signed] Hello", "Hello"),
        ("Re: [SIGNED] [secure] Hello", "Re: Hello"),
        ("Hello[signed]World", "HelloWorld"),
        ("[sig[signed]ned] x", "x"),
        ("[sig[signed]ned] [secure] a [sec[signed]ure]b", "a b"),
        ("[sig\u200bned] [sig\u0307ned]\u2060 x", "\u2060 x"),
        ("[sig\ufffdned] x", "x"),
        ("[signed\u00a0] [ signed ] [si\x00gned] x", "x"),
        ("\uff3bsigned\uff3d [\uff53igned] \u3010signed\u3011 x", "x"),
        ("Hello  [other]  World", "Hello  [other]  World"),
        ("[signed]", ""),
        ("", ""),
    ],
)
def test_tags(subject, left):
    assert strip_tags(subject, ["[signed]", "[Secure]", ""]) == left


def test_tags_hidden_in_encoded_words():
    octets = b"Subject: =?utf-8?q?=5Bsigned=5D_Gr=C3=BC=C3=9Fe?=\r\n\r\nx"
    assert parse_headers(strip_subject_tags(octets, ["[signed]"])).text("subject") == "Grüße"
    untouched = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nx"
    assert strip_subject_tags(untouched, ["[signed]"]) is untouched


@pytest.mark.parametrize("charset", ["windows-949", "x-user-defined", "ISO-8859-8-I", "x-klingon"])
def test_tags_hidden_in_words_of_charsets_that_only_some_readers_know(charset):
    octets = f"Subject: =?{charset}?Q?=5Bsigned=5D_x?=\r\n\r\nx".encode()
    assert strip_subject_tags(octets, ["[signed]"]) == b"Subject: x\r\n\r\nx"
    assert without_keywords(octets, frozenset({"signed"})) == b"Subject: x\r\n\r\nx"
    untouched = octets.replace(b"signed", b"other")
    assert strip_subject_tags(untouched, ["[signed]"]) is untouched


@pytest.mark.parametrize("charset", [
    "iso-8859-8-i", "windows-874", "x-sjis", "x-mac-cyrillic", "x-nobody-knows", '"utf-8"', "utf-8''"])
def test_tags_in_charsets_that_only_readers_know(charset):
    octets = f"Subject: =?{charset}?q?=5Bsigned=5D?= Pay\r\n\r\nx".encode()
    assert parse_headers(strip_subject_tags(octets, ["[signed]"])).text("subject") == "Pay"
    untouched = f"Subject: =?{charset}?q?=5Bother=5D?= Pay\r\n\r\nx".encode()
    assert strip_subject_tags(untouched, ["[signed]"]) is untouched


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("charset", ["utf-16", "ucs-2", "unicode", "utf-16be", "utf-16le", "utf-32"])
def test_tags_in_octets_whose_order_readers_guess(charset, order):
    word = base64.b64encode("[signed]".encode(order)).decode()
    stripped = strip_subject_tags(f"Subject: =?{charset}?b?{word}?= Pay\r\n\r\nx".encode(), ["[signed]"])
    assert "signed" not in parse_headers(stripped).first("subject").seen.replace("\0", "")


@pytest.mark.parametrize(("subject", "left"), [
    ("\u202e[dengis]\u202c Pay", "[dengis] Pay"), ("\u202e[dengis] Pay", "[dengis] Pay"),
    ("[sig\u202eden\u202c] Pay", "[sigden] Pay"),
    ("\u202e]\u202dsigned\u202c[\u202c", "\u202e]\u202dsigned\u202c[\u202c"),
    ("\u202e[den\u2067gis\u2069] Pay", "\u202e[den\u2067gis\u2069] Pay"),
    ("\u202e\uff3bdengis\uff3d", "\uff3bdengis\uff3d"),
    ("\u202eyaP", "\u202eyaP"), ("\u202eyaP" * 1_000, "yaP" * 1_000), ("\u202a[dengis]\u202c", "\u202a[dengis]\u202c")])
def test_tags_that_an_override_of_the_direction_of_writing_shows(subject, left):
    assert strip_tags(subject, ["[signed]"]) == left


def test_tags_in_every_subject():
    octets = b"Subject: a\r\nTo: x\r\nSUBJECT : [signed] b\r\nSubject: [signed] c\r\n\r\n[signed]"
    assert strip_subject_tags(octets, ["[signed]"]) == (
        b"Subject: a\r\nTo: x\r\nSUBJECT: b\r\nSubject: c\r\n\r\n[signed]"
    )


def test_tags_of_a_hostile_subject_cost_no_more_than_its_length():
    tags = ["[signed]", "[customer]", "[signature not trusted]", "[signature not checked]", "[not opened]"]
    began = time.process_time()
    assert strip_tags("[signed]" + "d]" * 400_000, tags) == "d]" * 400_000
    strip_tags("[sig" * 100_000 + "[signed]" + "ned]" * 100_000, tags)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        ("[encrypt] Hello [Secret]", {"encrypt", "secret"}),
        ("Hello [not] there", set()),
        ("[a][b] x", {"a", "b"}),
        ("[]", set()),
        ("[open", set()),
        ("", set()),
        # What the writer sees is [seal], as for tags.
        ("[se\u200bal] x", {"seal"}),
        ("\ufeff[seal\u00ad] x", {"seal"}),
        ("\u3164[seal] x", {"seal"}),
        ("[ s e a l ] x", {"seal", "s e a l"}),
        ("x [\u2060seal]\u200b ", {"seal"}),
        ("[top secret] x", {"top secret", "topsecret"}),
        # An answer to such a mail, or one that is forwarded.
        ("Re: [seal] x", {"seal"}),
        ("AW: Fwd:[seal] x", {"seal"}),
        ("Re[2]: WG: [Seal] x", {"seal"}),
        ("[ext] RE: [seal] x", {"ext", "seal"}),
        ("\u56de\u590d\uff1a[seal] x", {"seal"}),
        ("R\u200be: [seal] x", {"seal"}),
        ("Invoice re: [seal] x", {"seal"}),
        # Truth: what Outlook, Thunderbird and Notes write before and people write around a subject.
        *((before + "[seal] x", {"seal"}) for before in (
            "Zugesagt: ", "Accepted: ", "Gelesen: ", "Automatic reply: ", "Undeliverable: ", "Antwort: ", "Wichtig: ",
            "\u26a0\ufe0f ", "! ", "- ", "*", "#123 ", "Re : ", "Re; ", '"', "(", "[", "Rif\uff1a")),
        *(("x [seal]" + behind, {"seal"}) for behind in (".", "!", " \u26a0\ufe0f", ")", "]", '"')),
        *((f"{opening}seal{closing} x", {"seal"}) for opening, closing in
          ("\uff3b\uff3d", "\u3010\u3011", "\u3014\u3015", "\u27e6\u27e7")),
        ("[\uff53eal] x", {"seal"}),
        ("[a][b][c][d][e][f][g][h][seal] x", set("abcdefgh") | {"seal"}),
        ("x [seal][h][g][f][e][d][c][b][a]", set("abcdefgh") | {"seal"}),
        ("a subject that is much longer than what programs put before: [seal] x", set()),
    ],
)
def test_keywords(subject, found):
    assert keywords([subject]) == found


@pytest.mark.parametrize(
    ("subject", "left"),
    [
        ("[seal] Your limit", "Your limit"),
        ("Re: [seal] Your limit", "Re: Your limit"),
        ("\uff3bseal\uff3d Your limit", "Your limit"),
        ("Automatic reply: [seal] Your limit", "Automatic reply: Your limit"),
        ("[se\u200bal] Your [joke] limit [SEAL]", "Your [joke] limit"),
        ("Your [seal] limit", "Your [seal] limit"),
        ("[ s e a l ]Your limit", "Your limit"),
    ],
)
def test_keywords_are_taken_out_of_every_subject(subject, left):
    octets = f"Subject: first\r\nTo: a@b.example\r\nSubject: {subject}\r\nThread-Topic: {subject}\r\n\r\n[seal]\r\n"
    made = without_keywords(octets.encode(), frozenset({"seal"}))
    headers = parse_headers(made)
    assert headers.texts("subject") == ("first", left)
    assert headers.text("thread-topic") == left
    assert made.endswith(b"\r\n\r\n[seal]\r\n")
    assert without_keywords(made, frozenset({"seal"})) is made


@pytest.mark.parametrize("piece", ["[", "]", "[]", "a:", ":", "!", "[a", "\u3010", "a" * 39, "9", "[9]"])
def test_spans_of_a_hostile_subject_lie_side_by_side(piece):
    spans = sorted({(start, end) for _, start, end in keyword_spans("[x]" + piece * 20_000 + "[y]")})
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))


def test_counting_and_ids():
    headers = parse_headers(b"Received: a\r\nRECEIVED: b\r\nMessage-ID: <x@y>\r\n\r\n")
    assert message_id(headers) == "<x@y>"
    assert message_id(parse_headers(b"\r\n")) == ""
    assert len(message_id(parse_headers(b"Message-ID: <" + b"m" * 100_000 + b">\r\n\r\n"))) == 998
    assert new_message_id("abc", "mx.bank.example") == b"Message-ID: <abc@mx.bank.example>\r\n"


def test_trace_fields():
    assert all(is_trace(name) for name in ("received", "arc-seal", "dkim-signature", "return-path"))
    assert not any(is_trace(name) for name in ("subject", "from", "arcade"))


def test_a_subject_without_its_keyword_keeps_letters_of_windows() -> None:
    """Octet 0x85 under the name ISO 8859-1 is an ellipsis to readers; as a control it was taken for a line end."""
    octets = b"Subject: =?iso-8859-1?q?[seal]_100_=80=85x?=\r\n\r\n"
    rest = parse_headers(without_keywords(octets, frozenset({"seal"})))
    assert rest.text("subject") == "100 \u20ac\u2026x"
