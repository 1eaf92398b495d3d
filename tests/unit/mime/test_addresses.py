"""Address lists. Truth: RFC 5322 appendix A, and refusals where two readers could see two senders."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.mime.addresses import encode_address_value, encode_mailboxes, format_mailboxes, mailboxes
from gateway.mime.header import parse_headers
from gateway.model.address import Mailbox


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Joe Q. Public <john.q.public@example.com>", [("Joe Q. Public", "john.q.public@example.com")]),
        (
            "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            [("Mary Smith", "mary@x.test"), ("", "jdoe@example.org"), ("Who?", "one@y.test")],
        ),
        (
            '<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
            [("", "boss@nil.test"), ('Giant; "Big" Box', "sysservices@example.net")],
        ),
        (
            "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
            [("Ed Jones", "c@a.test"), ("", "joe@where.test"), ("John", "jdoe@one.test")],
        ),
        ("Undisclosed recipients:;", []),
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [("Pete", "pete@silly.test")]),
        ("john@example.com (John Doe)", [("John Doe", "john@example.com")]),
        ("=?utf-8?q?J=C3=BCrgen?= <j@b.example>", [("Jürgen", "j@b.example")]),
        ('"john doe"@example.com', [("", '"john doe"@example.com')]),
        ('"plain"@example.com', [("", "plain@example.com")]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("a@[IPv6:2001:db8::1]", [("", "a@[IPv6:2001:db8::1]")]),
        ("jürgen@bücher.example", [("", "jürgen@bücher.example")]),
        ("a@b.example <a@b.example>", [("a@b.example", "a@b.example")]),
        ('"victim@bank.example" <x@evil.example>', [("victim@bank.example", "x@evil.example")]),
        (", a@b.example, ,", [("", "a@b.example")]),
        ("x: a@b.example; , c@d.example", [("", "a@b.example"), ("", "c@d.example")]),
        ("", []),
    ],
)
def test_lists(value, found):
    assert [(box.name, box.address) for box in mailboxes(value)] == found


@pytest.mark.parametrize(
    "value",
    [
        "victim@bank.example <x@evil.example>",  # which one is it?
        "victim@bank.example, <x@evil.example> trailing",
        "<@a.example,@b.example:c@d.example>",  # source route
        "a b@c.example",
        "a@b c.example",
        "a @ b @ c",
        "<a@b.example",
        "a@b.example>",
        "<<a@b.example>>",
        "<a@b> <c@d>",
        "a..b@c.example",
        ".a@c.example",
        "a.@c.example",
        "a@.c",
        "a@",
        "@b",
        "postmaster",
        "a@b.example; c@d.example",
        '"open <a@b.example>',
        "(open a@b.example",
        "g: a@b.example",
        "g: h: a@b.example;;",
        "a\x01@b.example",
        "a@b.example\x00",
        "a@[1.2.3.4",
        "a\\@b.example",
        "x] <a@b.example>",
        ": a@b.example;",
    ],
)
def test_refused_rather_than_guessed(value):
    with pytest.raises(GatewayError) as caught:
        mailboxes(value)
    assert caught.value.reason is Reason.MAIL_MALFORMED


NAMES = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], include_characters=" ", exclude_characters="\ufffd"
    ),
    max_size=40,
).map(lambda text: " ".join(text.split()))
ADDRESSES = st.from_regex(r"[a-z0-9+_-]{1,12}(\.[a-z]{1,5})?@[a-z]{1,8}\.example", fullmatch=True)


@given(st.lists(st.builds(Mailbox, NAMES, ADDRESSES), max_size=6))
def test_what_is_written_is_read(boxes):
    assert list(mailboxes(format_mailboxes(boxes))) == boxes
    raw = encode_mailboxes("To", boxes)
    assert raw.isascii()
    field = parse_headers(raw + b"\r\n").fields[0]
    assert list(mailboxes(field.value)) == boxes


@given(
    st.lists(
        st.builds(Mailbox, NAMES.filter(lambda name: "\\" not in name and '"' not in name), ADDRESSES),
        min_size=1,
        max_size=4,
    )
)
def test_utf8_lists_become_ascii_with_the_same_mailboxes(boxes):
    raw = ", ".join(f'"{box.name}" <{box.address}>' if box.name else box.address for box in boxes)
    encoded = encode_address_value(raw)
    assert encoded.isascii()
    assert list(mailboxes(encoded)) == boxes


def test_groups_and_comments_keep_their_form():
    assert encode_address_value("Grüppe: Öl <o@c.example>, x@c.example (früh);") == (
        "=?utf-8?q?Gr=C3=BCppe?=: =?utf-8?b?w5Zs?= <o@c.example>, x@c.example (=?utf-8?b?ZnLDvGg=?=);"
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 1_000_000,
        '"' + '\\"' * 500_000,
        "a@b.example," * 100_000,
        "<" * 1_000_000,
        ":" * 1_000_000,
        "a " * 500_000 + "<a@b.example>",
        "," * 1_000_000,
        "[" * 1_000_000,
    ],
)
def test_a_megabyte_is_linear(hostile):
    started = time.process_time()
    try:
        mailboxes(hostile)
    except GatewayError as error:
        assert error.reason in {Reason.MAIL_MALFORMED, Reason.INPUT_LIMIT_EXCEEDED}  # noqa: PT017
    assert time.process_time() - started < 4
