"""The quick look at a mail's S/MIME form says what the whole tree says. Truth: the general parser, generated input."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.mime.entity import parse_entity
from gateway.mime.smime_forms import Cms, Detached, detect, glance, multipart_signed
from gateway.mime.transfer import base64_lines

DER = bytes.fromhex("3082010006092a864886f70d010703a0") + bytes(range(1, 241))
SIGNED = (
    b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b"\r\n'
)
SIGNATURE = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"

PIECES = st.sampled_from([
    SIGNED,
    SIGNATURE,
    b'Content-Type: multipart/mixed; boundary="b"\r\n',
    b'Content-Type: multipart/mixed; boundary="bb"\r\n',
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/plain\r\n",
    b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n",
    b"Content-Type: application/x-pkcs7-signature\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\r\n--b--", b"\n--b\r\n", b"\n--b--\n", b"\r\n--bb\r\n", b"\r\n--b \r\n",
    b"--b\r\n", b"--b--\r\n", b"\r\n--b--b\r\n", b"\r\n--", b"\r\n", b"\n", b"\r", b" ", b"text", b"line\r\n",
    base64_lines(DER), DER,
])


def told(octets: bytes) -> None:
    quick = glance(octets)
    whole = detect(parse_entity(octets))
    assert quick is None or quick == whole
    assert detect(octets) == whole


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=14).map(b"".join))
@example(SIGNED + b"\r\n--b\r\n\r\n--b\r\n" + SIGNATURE + b"\r\n--b--")
@example(SIGNED + b"\r\n--b\r\n--b\r\n--b--\r\n")
def test_any_pieces(octets):
    told(octets)


@settings(max_examples=500, deadline=None)
@given(content=st.lists(PIECES, max_size=6).map(b"".join), cut=st.lists(PIECES, max_size=2).map(b"".join),
       behind=st.lists(PIECES, max_size=2).map(b"".join))
def test_around_a_signed_shape(content, cut, behind):
    told(SIGNED + b"\r\npreamble\r\n--b\r\n" + content + b"\r\n--b\r\n" + SIGNATURE + base64_lines(DER) + cut
         + b"\r\n--b--" + behind)


def test_what_is_written_is_seen_at_a_glance():
    header, body = multipart_signed(b"Content-Type: text/plain\r\n\r\nhello\r\n", DER, "sha-256")
    assert isinstance(glance(header + b"\r\n" + body), Detached)
    assert isinstance(glance(b"Content-Type: application/pkcs7-mime\r\n\r\n" + DER), Cms)


def test_what_is_odd_is_left_to_the_whole_tree():
    assert glance(b"Content-Type: application/octet-stream; name=smime.p7m\r\n\r\n" + DER) is None
    assert glance(SIGNED + b"\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b\r\n\r\nthree\r\n--b--\r\n") is None
