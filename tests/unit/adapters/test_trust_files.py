"""Roots in files and directories."""

import pytest

from gateway.adapters.files.trust import load_trusted
from gateway.errors import GatewayError, Reason
from tests.support.pki import get_pki, pem

PKI, OTHER = get_pki(), get_pki("Other Bank")


def test_files_of_every_kind_each_certificate_once(tmp_path) -> None:
    (tmp_path / "a.pem").write_bytes(PKI.root_pem + OTHER.root_pem)
    (tmp_path / "b.der").write_bytes(PKI.root.der)
    found = load_trusted((tmp_path / "b.der", tmp_path / "a.pem"))
    assert found == (PKI.root_certificate, OTHER.root_certificate)


def test_a_directory_gives_its_certificates_by_name(tmp_path) -> None:
    (tmp_path / "b.crt").write_bytes(PKI.root_pem)
    (tmp_path / "a.CER").write_bytes(OTHER.root.der)
    (tmp_path / "README").write_text("not a certificate")
    (tmp_path / "c.pem.d").mkdir()
    assert load_trusted((tmp_path,)) == (OTHER.root_certificate, PKI.root_certificate)


def test_no_paths_are_no_roots() -> None:
    assert load_trusted(()) == ()


@pytest.mark.parametrize(("name", "octets"), [
    ("missing.pem", None), ("empty.pem", b""), ("text.pem", b"hello"), ("bad.der", PKI.root.der[:-1]),
    ("half.pem", PKI.root_pem + pem(PKI.root.der[:-5]))])
def test_what_is_none_is_named(tmp_path, name, octets) -> None:
    """A bundle with one bad certificate is refused whole: a bank must know which roots it believes."""
    if octets is not None:
        (tmp_path / name).write_bytes(octets)
    with pytest.raises(GatewayError, match=name) as caught:
        load_trusted((tmp_path / name,))
    assert caught.value.reason is Reason.CONFIG_UNREADABLE


def test_an_empty_directory_is_refused(tmp_path) -> None:
    with pytest.raises(GatewayError, match="no certificate in this directory") as caught:
        load_trusted((tmp_path,))
    assert caught.value.reason is Reason.CONFIG_UNREADABLE
