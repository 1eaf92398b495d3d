"""Recognising and writing S/MIME shapes. Truth: RFC 8551 3, RFC 1847, and openssl reading what we write."""

import base64
import shutil
import subprocess

import pytest

from gateway.mime.entity import decode, parse_entity
from gateway.mime.smime_forms import (
    Cms,
    Detached,
    NotSmime,
    detect,
    multipart_signed,
    pkcs7_mime,
    sniff_cms,
)
from gateway.mime.transfer import base64_lines
from tests.support import mails

DER = bytes.fromhex("3082010006092a864886f70d010703a0") + bytes(range(1, 241))
BER = bytes.fromhex("308006092a864886f70d010702a080") + bytes(60)
AUTH = bytes.fromhex("30820100060b2a864886f70d0109100117a0") + bytes(100)


def leaf(header: bytes, body: bytes) -> bytes:
    return mails.HEADER + header + b"\r\n" + body


@pytest.mark.parametrize("der", [DER, BER, AUTH])
@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n",
        b"Content-Type: application/x-pkcs7-mime\r\n",
        b"Content-Type: APPLICATION/PKCS7-MIME\r\n",
        b'Content-Type: application/octet-stream; name="smime.p7m"\r\n',
        b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=SMIME.P7M\r\n",
        b"Content-Type: application/octet-stream\r\n",
        b"Content-Type: application/pdf; name=harmless.pdf\r\n",
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n",
    ],
)
def test_however_labelled(header, der):
    form = detect(leaf(header + b"Content-Transfer-Encoding: base64\r\n", base64_lines(der)))
    assert isinstance(form, Cms)
    assert form.der == der


def test_however_encoded():
    label = b"Content-Type: application/pkcs7-mime\r\n"
    binary = detect(leaf(label + b"Content-Transfer-Encoding: binary\r\n", DER))
    pem = detect(leaf(label, b"-----BEGIN PKCS7-----\r\n" + base64_lines(DER) + b"-----END PKCS7-----\r\n"))
    unsaid = detect(leaf(label, base64_lines(DER)))
    assert isinstance(binary, Cms)
    assert isinstance(pem, Cms)
    assert isinstance(unsaid, Cms)
    assert binary.der == pem.der == unsaid.der == DER


@pytest.mark.parametrize("name", [n for n in mails.KINDS if n not in {"signed_already", "encrypted_already"}])
def test_ordinary_mail_is_none(name):
    assert detect(mails.KINDS[name]()) == NotSmime()


def test_text_is_never_sniffed():
    assert (
        detect(leaf(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n", base64_lines(DER)))
        == NotSmime()
    )


def test_detached_gives_the_octets_as_they_stand():
    octets = mails.signed_already()
    form = detect(octets)
    assert isinstance(form, Detached)
    assert form.content == octets[form.start : form.end]
    assert form.content.endswith(b"Gr\xc3\xbc\xc3\x9fe  \r\n")  # the second line end is the delimiter's
    assert form.micalg == "sha-256"
    assert sniff_cms(form.signature)


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.replace(b"--sig--", b"--sig\r\n\r\nfooter of a list\r\n--sig--"),  # three parts
        lambda o: o.replace(b"application/pkcs7-signature", b"application/pgp-signature"),
        lambda o: o.replace(b"multipart/signed", b"multipart/mixed"),
        lambda o: o[: o.index(b"\r\n--sig\r\nContent-Type: application/pkcs7")] + b"\r\n--sig--\r\n",
    ],
)
def test_not_the_shape_of_rfc_1847(change):
    assert detect(change(mails.signed_already())) == NotSmime()


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: text/plain\r\n\r\nHello\r\n",
        b"\r\n\r\n",
        b"X: 1\r\n\r\n--=_\r\n",
        b"Content-Type: text/plain\r\n\r\n\r\n\r\n\r\n",
    ],
)
def test_written_and_cut_again_exactly(content):
    header, body = multipart_signed(content, DER, "sha-256")
    form = detect(mails.HEADER + header + b"\r\n" + body)
    assert form == Detached(content, DER, "sha-256", form.start, form.end)


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 1000])
def test_base64_lines_are_those_of_the_standard_library(size):
    octets = bytes(range(256)) * 4
    assert base64_lines(octets[:size]) == base64.encodebytes(octets[:size]).replace(b"\n", b"\r\n")


def test_pkcs7_mime_entity():
    entity = parse_entity(pkcs7_mime(DER, "enveloped-data"))
    assert entity.type == "application/pkcs7-mime"
    assert entity.content_type.params["smime-type"] == "enveloped-data"
    assert entity.filename == "smime.p7m"
    assert decode(entity) == DER
    assert max(map(len, pkcs7_mime(DER, "authEnveloped-data").split(b"\r\n"))) <= 78


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_cuts_the_same_content(tmp_path):
    """openssl's own S/MIME parser finds the same two parts: it reports the digest of exactly our content."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            "/CN=x",
        ],
        check=True,
        capture_output=True,
    )
    content = mails.html_with_images()[len(mails.HEADER) :].replace(b"\xfc", b"u").replace(b"\xdf", b"s")
    (tmp_path / "content").write_bytes(content)
    subprocess.run(
        [
            "openssl",
            "cms",
            "-sign",
            "-binary",
            "-in",
            tmp_path / "content",
            "-signer",
            certificate,
            "-inkey",
            key,
            "-outform",
            "DER",
            "-out",
            tmp_path / "sig",
            "-md",
            "sha256",
        ],
        check=True,
        capture_output=True,
    )
    header, body = multipart_signed(content, (tmp_path / "sig").read_bytes(), "sha-256")
    (tmp_path / "mail").write_bytes(mails.HEADER + header + b"\r\n" + body)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-noverify", "-in", tmp_path / "mail", "-out", tmp_path / "out"],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes().replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n")
