"""OAEP taken off in Python, against OAEP put on by `cryptography`. Truth: RFC 8017 7.1.2, its steps 3.d to 3.g."""

from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.adapters.keys.oaep import unpad
from gateway.errors import GatewayError, Reason

NAMES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha512": hashes.SHA512}
SECRET = b"0123456789abcdef"


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encoded(digest: str = "sha256", mask: str = "sha256", label: bytes | None = None) -> bytes:
    """The block that the RSA operation of a token gives."""
    form = padding.OAEP(padding.MGF1(NAMES[mask]()), NAMES[digest](), label)
    wrapped = int.from_bytes(key().public_key().encrypt(SECRET, form))
    numbers = key().private_numbers()
    return pow(wrapped, numbers.d, numbers.public_numbers.n).to_bytes(256)


@pytest.mark.parametrize("digest", NAMES)
@pytest.mark.parametrize("mask", NAMES)
def test_the_content_comes_out(digest: str, mask: str) -> None:
    assert unpad(encoded(digest, mask), digest, mask) == SECRET


@pytest.mark.parametrize("block", [
    pytest.param(lambda: encoded(label=b"another"), id="label hash"),
    pytest.param(lambda: b"\1" + encoded()[1:], id="first octet"),
    pytest.param(lambda: encoded("sha1", "sha1"), id="digest"),
    pytest.param(lambda: encoded()[:-1] + bytes([encoded()[-1] ^ 1]), id="last octet"),
    pytest.param(lambda: bytes(256), id="zeros"),
    pytest.param(lambda: bytes(65), id="too short"),
])
def test_every_fault_has_one_answer(block: object) -> None:
    """Manger, CRYPTO 2001: answers that differ decrypt."""
    with pytest.raises(GatewayError) as refused:
        unpad(block(), "sha256", "sha256")  # type: ignore[operator]
    assert (refused.value.reason, refused.value.detail) == (Reason.DECRYPTION_FAILED, GatewayError(
        Reason.DECRYPTION_FAILED).detail)
