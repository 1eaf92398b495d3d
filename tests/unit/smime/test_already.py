"""What is signed or encrypted already is so by its octets: a label alone lets no mail leave as it is."""

import base64

import pytest

from gateway.mime.entity import parse_entity
from gateway.smime.already import already
from tests.support import mails, sealed

TEXT = b"Content-Type: text/plain\r\n\r\nThe limit is 4711.\r\n"
PGP = (
    b'MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=p\r\n\r\n'
    b"--p\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
    b"--p\r\nContent-Type: application/octet-stream\r\n\r\n"
)


def of(octets: bytes) -> frozenset[str]:
    return already(parse_entity(b"From: staff@bank.example\r\n" + octets))


# Made by GnuPG 2.4: to a cv25519 key, by a password, and a detached ed25519 signature.
BY_PASSWORD = b"""-----BEGIN PGP MESSAGE-----

jA0ECQMKrKVvTEEbSh7/0jgBlsupSxetWgpVUynXqvstwTwqqw+SwUal8AUGTexj
f8/nJmKc1QxgWByR5W5+KfhpNMy1SUnjDA==
=yNp4
-----END PGP MESSAGE-----
""".replace(b"\n", b"\r\n")
PGP_SIGNATURE = b"""-----BEGIN PGP SIGNATURE-----

iHUEABYKAB0WIQQhuPN0+Z1jYCVyI69Wke3pWEzRfQUCaw2GPwAKCRBWke3pWEzR
fUmcAQDRbsGTDxmqvquEAgPUJqJif3F4kEyLOO/amRLQow8ZigEA6zRHRioHgW9l
WRlOL3I/eobduVIU8tDjZIv3hu+BEws=
=MmL0
-----END PGP SIGNATURE-----
""".replace(b"\n", b"\r\n")
NOTICE = b"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n"
CLEAR = b"The limit is 4711.\r\n"


def armoured(packets: bytes, label: bytes = b"MESSAGE") -> bytes:
    body = base64.encodebytes(packets).replace(b"\n", b"\r\n")
    return b"-----BEGIN PGP %b-----\r\n\r\n%b-----END PGP %b-----\r\n" % (label, body, label)


@pytest.mark.parametrize("message", [mails.PGP_MESSAGE, BY_PASSWORD], ids=["key", "password"])
def test_openpgp(message: bytes) -> None:
    assert of(PGP + message + b"--p--\r\n") == {"encrypted"}
    with_notice = PGP.replace(b"\r\n\r\n--p", b"\r\n\r\n" + NOTICE + b"\r\n--p", 1)
    assert of(with_notice + message + b"--p--\r\n") == {"encrypted"}
    head = message.index(b"\r\n") + 2
    assert of(PGP + message[:head] + b"Version: x\r\nComment: y\r\n" + message[head:] + b"--p--\r\n")


SESSION_KEY = bytes([0xC3, 14, 4, 9, 3, 10]) + bytes(range(10))
DATA = bytes([0xD2, 40, 1]) + bytes(range(39))
LITERAL = b"\xcb\x1ab\0\0\0\0\0" + b"The limit is 4711.  "


@pytest.mark.parametrize(
    "message",
    [
        b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + CLEAR,
        b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + base64.encodebytes(CLEAR) + b"-----END PGP MESSAGE-----\r\n",
        mails.PGP_MESSAGE + CLEAR,
        CLEAR + mails.PGP_MESSAGE,
        mails.PGP_MESSAGE + mails.PGP_MESSAGE,
        mails.PGP_MESSAGE.replace(b"-----\r\n\r\n", b"-----\r\nPIN: 4711\r\n\r\n", 1),
        mails.PGP_MESSAGE.replace(b"hF4D", b"hF4=", 1),
        PGP_SIGNATURE,
        armoured(LITERAL),
        armoured(SESSION_KEY),
        armoured(DATA),
        armoured(SESSION_KEY + LITERAL),
        armoured(SESSION_KEY + DATA + LITERAL),
        armoured(SESSION_KEY + LITERAL + DATA),
        armoured(SESSION_KEY + DATA[:-1]),
        armoured(SESSION_KEY + bytes([0xC9]) + DATA[1:]),  # tag 9: nothing protects its integrity
    ],
    ids=range(16),
)
def test_what_only_looks_like_openpgp(message: bytes) -> None:
    """Truth: RFC 9580 10.3 (what an encrypted message is made of) and RFC 3156 4."""
    assert of(PGP + armoured(SESSION_KEY + DATA) + b"--p--\r\n") == {"encrypted"}
    assert of(PGP + message + b"--p--\r\n") == frozenset()


def test_nothing_stands_beside_an_openpgp_message() -> None:
    whole = PGP + mails.PGP_MESSAGE + b"--p--\r\n"
    for beside in (
        whole + CLEAR,
        whole.replace(b"\r\n\r\n--p", b"\r\n\r\n" + CLEAR + b"\r\n--p", 1),
        whole.replace(b"Version: 1\r\n", b"Version: 1\r\n" + CLEAR),
        whole.replace(b"--p--", b"--p\r\n\r\n" + CLEAR + b"--p--"),
    ):
        assert of(beside) == frozenset()


def test_nothing_stands_beside_an_envelope() -> None:
    body = sealed.enveloped(TEXT, sealed.box())
    assert of(body) == {"encrypted"}
    assert of(body + CLEAR) == frozenset()
    assert of(body.replace(b"\r\n\r\n", b"\r\n\r\n" + CLEAR, 1)) == frozenset()
    octets, header = base64.b64decode(body.partition(b"\r\n\r\n")[2]), b"Content-Type: application/pkcs7-mime\r\n"
    assert of(header + b"Content-Transfer-Encoding: binary\r\n\r\n" + octets) == {"encrypted"}
    assert of(header + b"Content-Transfer-Encoding: binary\r\n\r\n" + octets + CLEAR) == frozenset()


def test_a_signature_is_one_of_this_content() -> None:
    assert of(sealed.signed(TEXT, sealed.anna(), opaque=True)) == {"signed"}
    mail = sealed.signed(TEXT, sealed.anna())
    assert of(mail) == {"signed"}
    assert of(mail.replace(b"4711", b"4712")) == frozenset()
    assert of(mails.signed_already().partition(b"\r\n")[2]) == frozenset()
    assert of(sealed.multipart(TEXT, b"nothing")) == frozenset()
    pgp = (b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=p\r\n\r\n--p\r\n' + TEXT
           + b"\r\n--p\r\nContent-Type: application/pgp-signature\r\n\r\n%b\r\n--p--\r\n")
    assert of(pgp % PGP_SIGNATURE) == {"signed"}
    for other in (b"nothing", mails.PGP_MESSAGE, armoured(LITERAL, b"SIGNATURE"), PGP_SIGNATURE + CLEAR):
        assert of(pgp % other) == frozenset()
