"""What we sign is 7-bit and says the same. Truth: the standard library reads the mail before and after."""

import binascii
import quopri

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import is_seven_bit, lines_fit, newlines_are_crlf, seven_bit
from gateway.mime.entity import decode, parse_entity
from gateway.mime.header import parse_headers
from gateway.mime.transfer import decode_base64, decode_span, is_exact, quoted_printable
from tests.support import mails


def said(octets: bytes):
    """A mail as read, without the raw file names that the standard library cannot decode."""
    return [
        (part.depth, part.type, part.charset, part.params, part.content, _repaired(part.filename), part.headers)
        for part in mails.reader(octets)
    ]


def _repaired(name: str | None) -> str | None:
    raw = (
        parse_headers(b"X: " + name.encode("utf-8", "surrogateescape") + b"\r\n").text("x")
        if name is not None
        else None
    )
    return None if raw is None or "\ufffd" in raw else raw


@pytest.mark.parametrize("name", mails.KINDS)
def test_every_kind_of_mail_survives(name):
    octets = mails.KINDS[name]()
    made = seven_bit(octets)
    before, after = said(octets), said(made)
    for one, other in zip(before, after, strict=True):
        assert one[:5] == other[:5]
        assert one[5] == other[5] or one[5] is None
        assert one[6] == other[6]
    assert is_seven_bit(made) == (name != "signed_already")
    assert seven_bit(made) is made or name == "signed_already"


@pytest.mark.parametrize("name", ["plain", "umlauts", "encrypted_already", "empty_body", "outlook_headers", "utf16"])
def test_what_is_fine_is_the_same_object(name):
    octets = mails.KINDS[name]()
    assert seven_bit(octets) is octets


def test_sealed_subtrees_are_never_touched():
    octets = mails.signed_already()
    mixed = (
        mails.HEADER
        + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: text/plain\r\n\r\n\xe4\r\n"
        b"--m\r\n" + octets[len(mails.HEADER) :] + b"--m--\r\n"
    )
    made = seven_bit(mixed)
    assert octets[len(mails.HEADER) :] in made
    assert b"\r\n=E4\r\n" in made
    assert not is_seven_bit(made)


def test_a_wide_label_on_narrow_content_goes():
    made = seven_bit(mails.HEADER + b"Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n")
    assert b"Content-Transfer-Encoding: 7bit\r\n\r\nplain\r\n" in made
    nested = (
        mails.html_with_images()
        .replace(b"\xfc", b"u")
        .replace(b"\xdf", b"s")
        .replace(b"Transfer-Encoding: 8bit", b"transfer-encoding: 8BIT")
    )
    assert b"8BIT" not in seven_bit(nested)


def test_only_what_needs_it_is_re_encoded():
    octets = mails.html_with_images()
    before, after = parse_entity(octets), parse_entity(seven_bit(octets))
    unchanged = [
        (one.raw, other.raw)
        for one, other in zip(before.walk(), after.walk(), strict=True)
        if one.type in {"text/plain", "image/png", "text/csv"}
    ]
    assert len(unchanged) == 3
    assert all(one == other for one, other in unchanged)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (mails.HEADER + b"X: a\rb\r\n\r\n\xe4\r\n", Reason.MAIL_BARE_NEWLINE),
        (mails.HEADER + b"X: a\0b\r\n\r\ntext\r\n", Reason.MAIL_NUL),
        (mails.HEADER + b"In-Reply-To: <" + b"x" * 1500 + b"@y>\r\n\r\ntext\r\n", Reason.MAIL_FIELD_TOO_LONG),
    ],
)
def test_refused_by_name(octets, reason):
    with pytest.raises(GatewayError) as caught:
        seven_bit(octets)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "octets",
    [
        mails.HEADER + b"Content-Transfer-Encoding: x-uuencode\r\n\r\n\xe4\r\n",
        mails.HEADER + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n\xe4\r\n",
        mails.HEADER + b"Content-Type: multipart/mixed\r\n\r\n" + b"x" * 1200 + b"\r\n",
        mails.HEADER + b"Content-Type: message/news\r\n\r\n\xe4\r\n",
        mails.HEADER + b"Content-Transfer-Encoding: base64\r\n\r\nGr\xfc\xdfe, no base64\r\n",
    ],
)
def test_a_part_that_cannot_be_re_encoded_stays_as_it_is(octets):
    """The caller signs it opaque: nothing is lost and nothing is refused."""
    made = seven_bit(octets)
    assert made == octets
    assert not is_seven_bit(made)


DAMAGED = {  # each body, and what the letters of the encoding carry (RFC 2045 6.7, 6.8)
    "joined": ("base64", b"SGVsbG8g\r\nd29ybGQ=\r\naG93IGFyZSB5b3U/\r\n", b"Hello worldhow are you?"),
    "joined_twice": ("base64", b"QQ==QQ==QUI=QUJD", b"AAABABC"),
    "stray": ("base64", b"SGVsb=G8gd29ybGQ=", b"Hello world"),
    "many_pads": ("base64", b"QQ======QUJD", b"AABC"),
    "incomplete": ("base64", b"QUI=QUJDRA", b"ABABCD"),
    "soft_cr": ("quoted-printable", b"a=\rb and more\r\nc", b"ab and more\r\nc"),
    "two_equals": ("quoted-printable", b"x?a==b&c===d", b"x?a==b&c===d"),
    "no_escape": ("quoted-printable", b"1 = 2=ZZ", b"1 = 2=ZZ"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_encodings_lose_nothing(name):
    """Truth: RFC 2045 by hand. The library's decoders drop text in each but `no_escape`."""
    encoding, body, content = DAMAGED[name]
    assert decode_span(body, 0, len(body), encoding) == content
    assert is_exact(body, 0, len(body), encoding) is False
    octets = mails.HEADER + f"Content-Transfer-Encoding: {encoding}\r\nX: ".encode() + b"\xe4\r\n\r\n" + body
    made = parse_entity(seven_bit(octets + b" " * 1000 + b"\r\n"))
    assert decode(made).rstrip() == content
    if encoding == "base64":
        assert made.body.translate(None, b" \r\n") == body.translate(None, b" \r\n"), "readers decode it as before"


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_joined_base64_is_decoded_to_its_end(contents, data):
    text = b"".join(binascii.b2a_base64(one, newline=False) for one in contents)
    cut = data.draw(st.integers(0, len(text)))
    assert decode_base64(text[:cut] + b"\r\n " + text[cut:]) == b"".join(contents)


@given(st.binary(max_size=200))
def test_quoted_printable_round_trip_of_any_octets(content):
    encoded = quoted_printable(content)
    assert decode_span(encoded, 0, len(encoded), "quoted-printable") == content
    assert newlines_are_crlf(encoded)
    assert lines_fit(encoded, 78)


def test_addresses_in_utf8_have_no_other_form():
    made = seven_bit("From: Jürgen <jürgen@bücher.example>\r\nSubject: ä\r\n\r\nä\r\n".encode())
    assert "<jürgen@bücher.example>".encode() in made
    assert b"Subject: =?utf-8?" in made
    assert not is_seven_bit(made)


def test_a_message_without_mime_version_gets_one_with_its_encoding():
    assert b"MIME-Version: 1.0\r\nContent-Transfer-Encoding:" in seven_bit(mails.eight_bit_undeclared())


@pytest.mark.parametrize("length", [0, 1, 997, 998])
def test_lines_fit_at_the_limit(length):
    line = b"x" * length
    assert lines_fit(line)
    assert lines_fit(line + b"\r\n" + line + b"\r\n")
    assert lines_fit(b"\r\n" * 3 + line)


@pytest.mark.parametrize(
    "octets",
    [
        b"x" * 999,
        b"x" * 999 + b"\r\n",
        b"x" * 999 + b"\n",
        b"\r\n" * 600 + b"x" * 999 + b"\r\n",
        (b"x" * 76 + b"\r\n") * 100 + b"x" * 1000 + b"\r\n" + (b"x" * 76 + b"\r\n") * 100,
    ],
)
def test_lines_one_octet_too_long(octets):
    assert not lines_fit(octets)


@given(st.lists(st.integers(0, 1100), max_size=12))
def test_lines_fit_is_what_it_says(lengths):
    octets = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert lines_fit(octets) == all(length <= 998 for length in lengths)


@settings(deadline=None)
@given(st.sampled_from([1, 60, 76, 990, 998, 999, 1000, 3000]), st.sampled_from([b"\r\n", b"\n"]),
       st.integers(0, 60_000),
       st.sampled_from([b"", b"\n", b"\r\n", b"x" * 600, b"x" * 999, b"\n" + b"x" * 999 + b"\n"]))
def test_lines_of_one_length_fit_as_any_others(length, ending, at, inserted):
    octets = (b"x" * length + ending) * (40_000 // length)
    octets = octets[:at] + inserted + octets[at:]
    assert lines_fit(octets) == all(
        len(line) <= 998 or (len(line) == 999 and line.endswith(b"\r")) for line in octets.split(b"\n"))


@pytest.mark.parametrize("colons", [0, 62, 63, 64, 65, 200])
@pytest.mark.parametrize("name", [b"Content-Transfer-Encoding", b"content-transfer-encoding"])
def test_a_wide_label_is_seen_behind_any_number_of_colons(colons, name):
    octets = mails.HEADER + b"X: " + b":" * colons + b"\r\n" + name + b": 8bit\r\n\r\nplain\r\n"
    assert b"Content-Transfer-Encoding: 7bit\r\n" in seven_bit(octets)


@given(st.text(st.sampled_from("a\r\n"), max_size=30))
def test_newlines_are_crlf_is_what_it_says(text):
    octets = text.encode()
    rest = octets.replace(b"\r\n", b"")
    assert newlines_are_crlf(octets) == (b"\r" not in rest and b"\n" not in rest)


@given(st.text(st.sampled_from("aä =.\t\0€F-"), max_size=300), st.booleans())
def test_quoted_printable_decodes_to_the_same_octets(text, with_lines):
    content = (text.replace("€", "\r\n") if with_lines else text).encode()
    encoded = quoted_printable(content)
    assert binascii.a2b_qp(encoded) == content
    assert quopri.decodestring(encoded) == content
    assert is_seven_bit(encoded + b"\r\n")


# Generated mails: any tree, any content, any wish about the transfer encoding.

CONTENT = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(lambda text: text.replace("\r", "").replace("\n", "\r\n").encode("utf-8", "replace")),
    st.sampled_from(
        [
            b"",
            b"x" * 1200,
            b"a \r\n.\r\n..\r\nFrom x\r\n",
            b"\r\n",
            b"x\r\n--b0\r\n\r\ny\r\n--b0--\r\n",
            b"a\nb",
            b"a\rb",
            b"=41\r\n",
        ]
    ),
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Subject", "X-Info", "Content-Description"]),
        st.text(
            st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], include_characters=" "), max_size=60
        ).map(lambda text: " ".join(text.split())),
    ),
    max_size=3,
)


def written(content: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return binascii.b2a_base64(content, newline=False) + b"\r\n"
    if encoding == "quoted-printable":
        return binascii.b2a_qp(content, istext=False).replace(b"=\n", b"=\r\n")
    return content


@st.composite
def entities(draw, depth=0):
    header = "".join(f"{name}: {value}\r\n" for name, value in draw(HEADERS)).encode()
    kind = draw(st.sampled_from(["leaf", "leaf", "multipart", "message"] if depth < 3 else ["leaf"]))
    if kind == "leaf":
        encoding = draw(st.sampled_from(["7bit", "8bit", "binary", "base64", "quoted-printable"]))
        type_ = draw(
            st.sampled_from(
                [
                    "text/plain; charset=utf-8",
                    "text/html; charset=iso-8859-1",
                    "application/pdf",
                    'text/calendar; method=REQUEST; name="Ä;ö.ics"',
                    "image/png; name=a.png",
                ]
            )
        )
        return (
            header
            + f"Content-Type: {type_}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
            + written(draw(CONTENT), encoding)
        )
    if kind == "message":
        return (
            header
            + b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\nMIME-Version: 1.0\r\n"
            + draw(entities(depth + 1))
        )
    line = b"--b%d" % depth
    children = draw(st.lists(entities(depth + 1), min_size=1, max_size=3))
    return (
        header
        + b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n" % depth
        + b"".join(line + b"\r\n" + child + b"\r\n" for child in children)
        + line
        + b"--\r\n"
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(entities())
def test_generated_mails_survive(entity):
    octets = b"From: a@b.example\r\nMIME-Version: 1.0\r\n" + entity
    made = seven_bit(octets)
    assert is_seven_bit(made)
    ours = [
        (one.depth, one.type, one.filename, one.content_type.params, None if one.children else _decoded(one))
        for one in parse_entity(octets).walk()
    ]
    again = [
        (one.depth, one.type, one.filename, one.content_type.params, None if one.children else _decoded(one))
        for one in parse_entity(made).walk()
    ]
    assert again == ours
    assert [part.headers for part in mails.reader(made)] == [part.headers for part in mails.reader(octets)]
    if not newlines_are_crlf(octets):  # a bare CR ends a line for the standard library, and for nobody else
        return
    theirs = [(part.depth, part.type, part.content) for part in mails.reader(octets)]
    assert [(part.depth, part.type, part.content) for part in mails.reader(made)] == theirs


def _decoded(entity):
    from gateway.mime.entity import decode

    return decode(entity)


def test_a_cms_object_in_one_line_or_in_raw_octets_is_wrapped():
    der = bytes.fromhex("308006092a864886f70d010703") + bytes(range(256)) * 10
    label = mails.HEADER + b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\n"
    for octets in (
        label + b"Content-Transfer-Encoding: binary\r\n\r\n" + der,
        label + b"Content-Transfer-Encoding: base64\r\n\r\n" + binascii.b2a_base64(der, newline=False) + b"\r\n",
    ):
        made = seven_bit(octets)
        assert is_seven_bit(made)
        assert _decoded(parse_entity(made)) == der


INJECTION = b"innocent\r\n--m\r\nContent-Type: text/html\r\n\r\n<b>injected</b>\r\n--m--\r\n"


@pytest.mark.parametrize(
    "part",
    [
        # Hidden in base64 that must be wrapped anew, in quoted-printable with a line too long, behind a soft break.
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + binascii.b2a_base64(INJECTION + b"x" * 1000 + b"\r\n", newline=False),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + INJECTION.replace(b"--m", b"=2D-m")
        + b"x" * 1000,
        b"Content-Type: text/plain\r\n\r\n" + b"".join(b"\xe4" + b"x" * n + b"--m\r\n" for n in range(60, 90)),
    ],
)
def test_no_part_becomes_two(part):
    octets = mails.HEADER + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" + part + b"\r\n--m--\r\n"
    made = seven_bit(octets)
    assert is_seven_bit(made)
    assert [child.content for child in mails.reader(made)] == [child.content for child in mails.reader(octets)]
    assert len(parse_entity(made).children) == 1


@pytest.mark.parametrize("text", [b"a\r--m\rb \xe4", b"x" * 997 + b"--m\r\nContent-Type: text/html\r\n\r\ninjected"])
def test_text_around_the_parts_never_becomes_a_part(text):
    octets = (
        mails.HEADER + b"Content-Type: multipart/mixed; boundary=m\r\n\r\n" + text + b"\r\n--m\r\n\r\nA\r\n--m--\r\n"
    )
    made = seven_bit(octets)
    assert is_seven_bit(made)
    assert [child.raw for child in parse_entity(made).children] == [b"\r\nA"]


def test_the_header_around_a_sealed_subtree_is_not_sealed():
    octets = (
        mails.signed_already().replace(b"Your statement", "Auszüge".encode()).replace(b"Gr\xc3\xbc\xc3\x9fe", b"Text")
    )
    made = seven_bit(octets)
    assert is_seven_bit(made)
    assert parse_headers(made).text("subject") == "Auszüge"
    assert made.partition(b"\r\n\r\n")[2] == octets.partition(b"\r\n\r\n")[2]
