"""Encoded words. Truth: RFC 2047's own examples, and the standard library's decoder over generated text."""

import time
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.header import parse_headers
from gateway.mime.words import codec_of, decode_as, decode_octets, decode_words, encode_unstructured, encode_words, fold

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffd"), max_size=120)


@pytest.mark.parametrize(
    ("encoded", "text"),
    [  # RFC 2047 8
        ("(=?ISO-8859-1?Q?a?=)", "(a)"),
        ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        (
            "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        ("=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),  # RFC 2231 5: with a language
        ("=?utf-8?q?=41?=", "A"),
        ("=?utf-8?q??= x", " x"),
        ("=?utf-8?b?SGVsbG8=IHdvcmxk?=", "Hello world"),  # two encoded pieces joined
        ("=?utf-8?q?a==b?=", "a==b"),
        # Letters of the larger sets, as mail programs write them.
        ("=?gb2312?b?5me7+Q==?=", "\u9394\u57fa"),
        ("=?shift_jis?b?h0A=?=", "\u2460"),
        ("=?euc-kr?b?jGM=?=", "\ub620"),
        ("=?windows-949?b?jGM=?=", "\ub620"),
        ("=?iso-8859-8-i?q?=E0?=", "\u05d0"),
        ("=?x-user-defined?q?=5Ba=5D?=", "[a]"),
    ],
)
def test_examples(encoded, text):
    assert decode_words(encoded) == text


@pytest.mark.parametrize(
    "kept",
    [
        "=?x-klingon?q?a?=",
        "=?utf-8?x?a?=",
        "=?utf-8?q?a",
        "=?=",
        "=?utf-8?",
        "=??q?a?=",
        "=?punycode?q?a?=",
        "=?idna?q?a?=",
        "=?hex?q?41?=",
        "=?unicode_escape?q?a?=",
        "a =? b ?= c",
    ],
)
def test_what_cannot_be_read_stays(kept):
    assert decode_words(kept) == kept


def test_charset_names_are_never_imported():
    assert codec_of("os") is None
    assert codec_of("../x") is None
    assert codec_of("utf-8" + "x" * 100) is None
    assert codec_of("ISO-8859-15") == "iso8859_15"
    assert codec_of("windows-1252") == "cp1252"


@pytest.mark.parametrize("name", [
    "iso-8859-8-i", "iso-8859-6-e", "windows-874", "x-sjis", "x-gbk", "x-x-big5", "x-euc-jp", "windows-949", "koi8-ru",
    "unicode-1-1-utf-8", "utf8mb4", "x-cp1251", "dos-862", "x-mac-cyrillic", "iso-2022-jp"])
def test_charset_names_of_mail_programs(name):
    """Truth: WHATWG Encoding 4.2."""
    assert decode_words(f"=?{name}?q?Hello?=") == "Hello"


@given(TEXT)
def test_a_field_comes_back_exactly_and_keeps_to_its_lines(text):
    raw = encode_unstructured("Subject", text)
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\r\n\r\n" not in raw
    assert parse_headers(raw + b"\r\n").text("subject") == text


@given(TEXT.filter(lambda text: not text.isascii()))
def test_the_standard_library_reads_our_words(text):
    words = encode_words(text)
    assert all(len(word) <= 75 for word in words)
    assert str(make_header(decode_header("\r\n ".join(words)))) == text


@given(st.text(st.sampled_from("ab  =?_\t"), max_size=200))
def test_folding_is_undone_by_unfolding(text):
    folded = fold(f"X: {text}")
    assert folded is not None
    assert folded.replace("\r\n", "") == f"X: {text}"
    assert all(part.strip() for part in folded.split("\r\n"))


def test_line_ends_in_a_text_never_become_line_ends():
    raw = encode_unstructured("Subject", "a\r\nBcc: x@y\0\x7f\nc")
    assert parse_headers(raw).text("subject") == "a  Bcc: x@y \x7f c"
    assert raw.count(b"\r\n") == 1


@pytest.mark.parametrize(
    "hostile",
    [
        "=?" * 500_000,
        "=?a?q?" * 160_000 + "?=",
        "=?utf-8?q?" * 100_000 + "?=",
        "=?utf-8?b?A?= " * 70_000,
        "=?utf-8?q?" + "=" * 1_000_000,
    ],
)
def test_a_megabyte_of_beginnings_is_linear(hostile):
    started = time.process_time()
    decode_words(hostile)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(("written", "shown"), [
    # Truth: index-windows-1252.txt and the other indexes of the WHATWG Encoding standard, by the labels of its 4.2.
    ("=?iso-8859-1?q?100_=80_=96_=93x=94?=", "100 \u20ac \u2013 \u201cx\u201d"),
    ("=?ISO_8859-1:1987?q?=85?=", "\u2026"),
    ("=?us-ascii?q?Jos=E9_=80?=", "Jos\u00e9 \u20ac"),
    ("=?iso-8859-1?q?=81=8D=8F=90=9D?=", "\x81\x8d\x8f\x90\x9d"),  # Windows has no letter there
    ("=?windows-1252?q?=81=80?=", "\x81\u20ac"),
    ("=?iso-8859-9?q?=80=FE?=", "\u20ac\u015f"),
    ("=?iso-8859-11?q?=80=A1?=", "\u20ac\u0e01"),
    ("=?tis-620?b?gKE=?=", "\u20ac\u0e01"),
    ("=?windows-1253?q?=81=AA?=", "\x81\ufffd"),
    ("=?unknown-8bit?q?=80?=", "\u20ac"),
    ("=?iso-8859-2?q?=A1?=", "\u0104"),
    # Octets beyond ASCII in the word itself, in the word's charset.
    (b"=?windows-1252?q?100 \x80?=", "100 \u20ac"),
    (b"=?iso-8859-1?q?Jos\xe9?=", "Jos\u00e9"),
    (b"=?iso-8859-2?q?\xa1?=", "\u0104"),
    ("=?utf-8?q?Jos\u00e9 \u20ac?=".encode(), "Jos\u00e9 \u20ac"),
    # Undeclared octets that are no UTF-8.
    (b"100 \x80 \xe9", "100 \u20ac \u00e9"),
])
def test_charsets_of_windows_are_read_as_mail_programs_read_them(written: str | bytes, shown: str) -> None:
    assert decode_words(decode_octets(written) if isinstance(written, bytes) else written) == shown


@given(st.binary(max_size=40))
def test_undeclared_octets_lose_nothing(octets: bytes) -> None:
    text = decode_as(octets, "iso8859_1")
    assert len(text) == len(octets)
    assert len(set(text)) == len(set(octets))
    assert "\ufffd" not in text
