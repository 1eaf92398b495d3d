"""Making and taking over the bank's own keys: files that only their owner can read, and what a CA needs of them.

Written keys are PKCS#8 in PEM, under a passphrase where one is given; nothing that exists is ever overwritten.
RFC 5958 (PKCS#8). Requests for certificates: `key_request`; the next key beside an old one: `key_rollover`.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.adapters.keys import request as key_request
from gateway.adapters.keys.files import sign_with
from gateway.adapters.keys.request import Asked
from gateway.cms.certificate import Certificate, key_algorithm, load_certificates
from gateway.cms.private_keys import PrivateKey, is_pkcs12, read_pkcs12, read_private_key
from gateway.errors import GatewayError, Reason

ALGORITHMS: Final = ("rsa-3072", "rsa-4096", "p-256", "p-384", "p-521", "ed25519", "x25519")
TOKEN_ALGORITHMS: Final = ("rsa-3072", "rsa-4096", "p-256", "p-384", "p-521")
DEFAULT_ALGORITHM: Final = "rsa-3072"
TIME_STAMPING: Final = "1.3.6.1.5.5.7.3.8"
_CURVES: Final[dict[str, Callable[[], ec.EllipticCurve]]] = {
    "p-256": ec.SECP256R1, "p-384": ec.SECP384R1, "p-521": ec.SECP521R1}

Purpose = Literal["sign", "decrypt", "stamp"]


@dataclass(frozen=True, slots=True)
class Written:
    """The files of one key. `request`: certificate request for the CA, only of generated keys."""

    key: Path
    certificate: Path | None = None
    chain: Path | None = None
    request: Path | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A key with its certificate and the issuers that came with it."""

    key: PrivateKey
    certificate: Certificate | None
    chain: tuple[Certificate, ...]


def read_bundle(octets: bytes, passphrase: bytes | None, certificates: bytes | None = None) -> Bundle:
    """The key of a file with the certificate that fits it, out of the same file or of `certificates`.

    Reasons as cms.private_keys; CERTIFICATE_ABSENT if there are certificates and none fits.
    """
    if is_pkcs12(octets):
        held = read_pkcs12(octets, passphrase)
        key, known = held.only_key(), (*((held.certificate,) if held.certificate else ()), *held.others)
    else:
        key, known = read_private_key(octets, passphrase), ()
        if b"-----BEGIN CERTIFICATE-----" in octets:
            known = load_certificates(octets)
    if certificates is not None:
        known = (*known, *load_certificates(certificates))
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own = next((one for one in known if one.spki == spki), None)
    if known and own is None:
        raise GatewayError(Reason.CERTIFICATE_ABSENT, "none of the certificates belongs to this key")
    return Bundle(key, own, tuple(one for one in known if one.is_ca and not one.self_issued))


def purposes_of(certificate: Certificate) -> tuple[Purpose, ...]:
    """What a certificate lets its key do. If there are several, the operator chooses: a key has one purpose here."""
    extended, usage = certificate.extended_key_usage, certificate.key_usage
    if extended is not None and TIME_STAMPING in extended:
        return ("stamp",)
    found: list[Purpose] = []
    if usage is None or usage & {"digital_signature", "content_commitment"}:
        found.append("sign")
    if usage is None or usage & {"key_encipherment", "key_agreement"}:
        found.append("decrypt")
    return tuple(found)


def generate(algorithm: str) -> PrivateKey:
    """A new key. USAGE for an algorithm that is not in ALGORITHMS."""
    check_new(algorithm)
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "x25519":
        return x25519.X25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(algorithm.removeprefix("rsa-")))


def request(key: PrivateKey, whom: Asked) -> bytes:
    """A certificate request in PEM by a key in memory. Reasons as key_request.request."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key_request.request(spki, key_algorithm(spki), whom,
                               lambda scheme, octets: sign_with(key, "the new key", scheme, octets))


def check_new(algorithm: str, known: Sequence[str] = ALGORITHMS) -> None:
    """USAGE for what no new key should be: unknown kinds, and RSA below 3072 bits (BSI TR-02102-1 3.5) by name."""
    if algorithm in known:
        return
    bits = algorithm.removeprefix("rsa-")
    if algorithm.startswith("rsa-") and bits.isdecimal() and len(bits) < 6 and int(bits) < 3072:
        raise GatewayError(Reason.USAGE, f"{algorithm} is too weak for a new key: rsa-3072, or p-256")
    raise GatewayError(Reason.USAGE, f"`{algorithm}` is not a supported key algorithm. Use one of: {', '.join(known)}")


def write(directory: Path, name: str, bundle: Bundle, *, passphrase: bytes | None = None,
          request_pem: bytes | None = None, request_path: Path | None = None) -> Written:
    """NAME.key.pem (0600), NAME.crt.pem, NAME.chain.pem, NAME.csr.pem; the directory is made 0700 if it is not there.

    USAGE if one of them exists already: then nothing is written. `request_path`: in place of NAME.csr.pem.
    """
    paths = {kind: directory / f"{name}.{kind}.pem" for kind in ("key", "crt", "chain", "csr")}
    if request_path is not None:
        paths["csr"] = request_path
    chain = b"".join(one.x509.public_bytes(Encoding.PEM) for one in bundle.chain)
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    contents = {
        "key": bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection),
        "crt": bundle.certificate.x509.public_bytes(Encoding.PEM) if bundle.certificate else None,
        "chain": chain or None, "csr": request_pem}
    files = {kind: octets for kind, octets in contents.items() if octets is not None}
    there = [str(paths[kind]) for kind in files if paths[kind].exists()]
    if there:
        raise GatewayError(Reason.USAGE, f"{', '.join(there)}: exists already, and keys are never overwritten")
    done: list[Path] = []
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind, octets in files.items():
            write_new(paths[kind], octets, 0o600 if kind == "key" else 0o644)
            done.append(paths[kind])
    except OSError as error:
        for path in done:
            with contextlib.suppress(OSError):
                path.unlink()
        raise GatewayError(Reason.USAGE, f"{error.filename or directory}: {error.strerror}") from None
    return Written(paths["key"], *(paths[kind] if kind in files else None for kind in ("crt", "chain", "csr")))


def write_new(path: Path, octets: bytes, mode: int) -> None:
    """A file that was not there before, on the disk. OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(descriptor)
