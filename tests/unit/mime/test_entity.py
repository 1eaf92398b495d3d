"""Structure and decoding. Truth: RFC 2046 on cutting; the standard library's parser on every kind of mail."""

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.mime.entity import Limits, decode, parse_entity
from gateway.mime.transfer import decode_base64
from tests.support import mails


def tree(octets: bytes):
    return [(entity.depth, entity.type) for entity in parse_entity(octets).walk()]


@pytest.mark.parametrize("name", [name for name in mails.KINDS if name != "never_closed"])
def test_the_same_parts_with_the_same_content_as_the_standard_library(name):
    octets = mails.KINDS[name]()
    ours = [
        (entity.depth, entity.type, None if entity.children else decode(entity))
        for entity in parse_entity(octets).walk()
    ]
    theirs = [(part.depth, part.type, part.content) for part in mails.reader(octets)]
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    assert [one for one in ours if one[1] not in mails.FIELD_GROUPS] == [
        one for one in theirs if one[1] not in mails.FIELD_GROUPS
    ]


@pytest.mark.parametrize("name", ["umlauts", "html_with_images", "tnef", "plain"])
def test_the_same_file_names(name):
    octets = mails.KINDS[name]()
    assert [e.filename for e in parse_entity(octets).walk()] == [p.filename for p in mails.reader(octets)]


@pytest.mark.parametrize("name", mails.KINDS)
def test_spans_lie_inside_each_other(name):
    octets = mails.KINDS[name]()
    for entity in parse_entity(octets).walk():
        assert entity.start <= entity.body_start <= entity.end <= len(octets)
        position = entity.body_start
        for child in entity.children:
            assert position <= child.start <= child.end <= entity.end
            position = child.end


def parts(octets: bytes, boundary: bytes = b"b"):
    root = parse_entity(b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + octets)
    return [child.raw for child in root.children]


def test_the_line_end_before_a_delimiter_belongs_to_it():
    assert parts(b"--b\r\n\r\nA\r\n--b\r\n\r\nB\r\n\r\n--b--\r\n") == [b"\r\nA", b"\r\nB\r\n"]


def test_a_longer_boundary_that_begins_alike_cuts_nothing():
    assert parts(b"--b\r\n\r\n--bc\r\nA\r\n--b-\r\n--b--x\r\n--b--\r\n") == [b"\r\n--bc\r\nA\r\n--b-\r\n--b--x"]


def test_an_inner_boundary_that_continues_the_outer_one():
    octets = mails.html_with_images()  # "outer", "outer-rel", "outer-rel-alt"
    assert tree(octets) == [
        (0, "multipart/mixed"),
        (1, "multipart/related"),
        (2, "multipart/alternative"),
        (3, "text/plain"),
        (3, "text/html"),
        (2, "image/png"),
        (1, "text/csv"),
    ]


def test_a_boundary_that_ends_in_two_hyphens():
    assert parts(b"--b--\r\n\r\nA\r\n--b----\r\n", b"b--") == [b"\r\nA"]


def test_padding_behind_a_delimiter_and_lf_line_ends():
    assert parts(b"--b \t \r\n\r\nA\r\n--b-- \r\n") == [b"\r\nA"]
    assert parts(b"--b\n\nA\n--b--\n") == [b"\nA"]
    assert parts(b"x --b\r\n--b\r\n\r\nA\r\n --b\r\n--b--") == [b"\r\nA\r\n --b"]


def test_a_delimiter_as_header_line_ends_the_header():
    assert parts(b"--a:b\r\nX: 1\r\n--a:b\r\n\r\nA\r\n--a:b--", b'"a:b"') == [b"X: 1", b"\r\nA"]


def test_one_boundary_on_two_levels_belongs_to_the_outer_one():
    root = parse_entity(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nA\r\n--b--\r\n--b\r\n"
    )
    assert [child.raw for child in root.children] == [b"Content-Type: multipart/mixed; boundary=b\r\n", b"\r\nA"]
    assert root.closed


def test_an_outer_delimiter_ends_what_is_open_inside():
    root = parse_entity(
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
        b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nA\r\n--o\r\n\r\nB\r\n--o--\r\n--i\r\n"
    )
    inner, last = root.children
    assert [child.raw for child in inner.children] == [b"\r\nA"]
    assert not inner.closed
    assert last.raw == b"\r\nB"
    assert root.octets[slice(*root.epilogue)] == b"--i\r\n"


def test_preamble_and_epilogue():
    octets = mails.preamble_and_epilogue()
    root = parse_entity(octets)
    assert octets[slice(*root.preamble)] == b"F\xfcr alte Leser\r\n--bx"
    assert octets[slice(*root.epilogue)] == b"Ende --b\r\n\xe4\r\n"


def test_a_multipart_without_boundary_or_parts_has_no_children():
    assert tree(b"Content-Type: multipart/mixed\r\n\r\n--\r\nx") == [(0, "multipart/mixed")]
    assert tree(b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\nx') == [(0, "multipart/mixed")]


def test_the_limits_at_and_one_above():
    def nested(depth):
        return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))

    limits = Limits(depth_max=5, parts_max=20)
    assert len(tree(nested(4))) == 5
    assert sum(1 for _ in parse_entity(nested(5), limits).walk()) == 6
    with pytest.raises(GatewayError) as caught:
        parse_entity(nested(6), limits)
    assert caught.value.reason is Reason.INPUT_LIMIT_EXCEEDED
    wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert len(parse_entity(wide + b"--b\r\n\r\n" * 19, limits).children) == 19
    with pytest.raises(GatewayError):
        parse_entity(wide + b"--b\r\n\r\n" * 20, limits)


@given(st.binary(max_size=2000))
def test_base64_like_the_standard_library(content):
    assert decode_base64(base64.encodebytes(content).replace(b"\n", b"\r\n")) == content
    assert decode_base64(base64.b64encode(content)) == content


@pytest.mark.parametrize(
    ("broken", "content"),
    [
        (b"QUJD\r\nREVG=", b"ABCDEF"),
        (b"QUJD!!\r\nRE  VG\xff", b"ABCDEF"),
        (b"QUJDRA", b"ABCD"),
        (b"QUJDR", b"ABC"),
        (b"QUI=\r\nnot base64 any more: a list's footer", b"AB"),
        (b"", b""),
        (b"=", b""),
        (b"Q", b""),
        (b"====", b""),
    ],
)
def test_broken_base64_gives_what_can_be_had(broken, content):
    assert decode_base64(broken) == content


@given(st.binary(max_size=500))
def test_any_octets_have_a_tree(octets):
    for entity in parse_entity(octets).walk():
        decode(entity)


@given(st.text(st.sampled_from("-ab\r\n: x"), max_size=200))
def test_any_body_is_cut_without_losing_an_octet(body):
    octets = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + body.encode()
    root = parse_entity(octets)
    covered = bytearray(octets)
    for start, end in filter(None, (root.preamble, root.epilogue, *((c.start, c.end) for c in root.children))):
        covered[start:end] = b"\x01" * (end - start)
    left = bytes(covered[root.body_start :]).translate(None, b"\x01")
    assert left.translate(None, b"-a \r\n") == b""


@given(st.binary(max_size=300))
def test_quoted_printable_like_the_standard_library(content):
    encoded = quopri.encodestring(content).replace(b"\n", b"\r\n")
    octets = b"Content-Transfer-Encoding: Quoted-Printable\r\n\r\n" + encoded
    assert decode(parse_entity(octets)) == quopri.decodestring(encoded)
