"""Parameters. Truth: RFC 2231's examples, and the standard library as reader of what we write."""

import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.params import format_field, parse_content_type, parse_parameters


@pytest.mark.parametrize(
    ("value", "main", "params"),
    [
        (b' text/plain; charset="utf-8"; Format=Flowed', "text/plain", {"charset": "utf-8", "format": "Flowed"}),
        (
            (b' message/external-body; access-type=URL;\r\n URL*0="ftp://";\r\n'
            b' URL*1="cs.utk.edu/pub/moore"'),  # RFC 2231 3
            "message/external-body",
            {"access-type": "URL", "url": "ftp://cs.utk.edu/pub/moore"},
        ),
        (
            b" application/x-stuff;\r\n title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",  # RFC 2231 4
            "application/x-stuff",
            {"title": "This is ***fun***"},
        ),
        (
            (
                b" application/x-stuff\r\n"
                b" ;title*1*=%2A%2A%2Afun%2A%2A%2A%20;title*0*=us-ascii'en'This%20is%20even%20more%20"
                b';title*2="isn\'t it!"'
            ),
            "application/x-stuff",
            {"title": "This is even more ***fun*** isn't it!"},
        ),  # RFC 2231 4.1
        (b' a/b; name="a;b\\"c.pdf"; (a ; comment) x=1 (another)', "a/b", {"name": 'a;b"c.pdf', "x": "1"}),
        (b' a/b; name="=?utf-8?q?=C3=A4?="', "a/b", {"name": "ä"}),
        (b" a/b; name=my file.txt; name=second", "a/b", {"name": "my file.txt"}),
        (b" a/b; name=", "a/b", {"name": ""}),
        (b' a/b; name="open', "a/b", {"name": "open"}),
        (b" a/b; =x; y; ;", "a/b", {}),
        (b" a/b; n*0=a; n*2=c", "a/b", {"n": "a"}),
        (b" a/b; n*=x-klingon''%E4", "a/b", {"n": "ä"}),
        ('a/b; name="Auszüge"'.encode(), "a/b", {"name": "Auszüge"}),
        (b"", "", {}),
    ],
)
def test_values(value, main, params):
    assert parse_parameters(value) == (main, params)


@pytest.mark.parametrize(
    "value", [b"", b" ", b" text", b" /plain", b" text/", b" a/b/c", b" te xt/plain", b" ;charset=x"]
)
def test_an_unreadable_type_is_text(value):
    assert parse_content_type(value).full == "text/plain"


@given(
    st.dictionaries(
        st.sampled_from(["name", "title", "xy"]),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=200),
    )
)
def test_written_and_read_by_both(params):
    raw = format_field("Content-Disposition", "attachment", params)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert parse_parameters(raw.partition(b":")[2]) == ("attachment", params)
    message = email.message_from_bytes(raw + b"\r\n")
    for name, value in params.items():
        theirs = message.get_param(name, header="content-disposition")
        text = email.utils.collapse_rfc2231_value(theirs) if isinstance(theirs, tuple) else theirs
        assert text == value


def test_a_backslash_at_the_end_is_not_quoted():
    assert format_field("Content-Disposition", "attachment", {"name": "\\", "title": "0"}) == (
        b"Content-Disposition: attachment; name*=utf-8''%5C; title=0\r\n")


def test_a_boundary_is_never_cut():
    raw = format_field("Content-Type", "multipart/mixed", {"boundary": "b" * 70})
    assert b'boundary="' + b"b" * 70 + b'"' in raw
