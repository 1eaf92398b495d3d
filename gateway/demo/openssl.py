"""The independent program: every claim of the tour is checked by `openssl`, which knows nothing of us."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from gateway.cms.signed_reader import parse_signed
from gateway.errors import GatewayError, Reason

_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Person:
    """The paths of a person's certificate and key (PEM)."""

    name: str
    address: str
    certificate: Path
    key: Path


def available() -> bool:
    """Whether there is an openssl to ask."""
    return which("openssl") is not None


def run(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """What openssl printed. GatewayError(INPUT_MALFORMED) with its own words if it was not content."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=_SECONDS_MAX, check=False)
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GatewayError(
            Reason.INPUT_MALFORMED, f"openssl {arguments[0]} {arguments[1]}: {words[-1] if words else 'failed'}"
        )
    return done.stdout


def decrypt(mail: bytes, reader: Person) -> bytes:
    """The entity inside an encrypted mail."""
    return run("cms", "-decrypt", "-inform", "SMIME", "-recip", reader.certificate, "-inkey", reader.key, stdin=mail)


def verify(entity: bytes, root: Path) -> bytes:
    """The signed content of an entity, if signature and path hold."""
    return run("cms", "-verify", "-inform", "SMIME", "-CAfile", root, "-purpose", "smimesign", stdin=entity)


def sign(content: bytes, signer: Person) -> bytes:
    """A multipart/signed mail entity."""
    arguments = ("-md", "sha256", "-signer", signer.certificate, "-inkey", signer.key, "-crlfeol")
    return _crlf(run("cms", "-sign", *arguments, stdin=content))


def encrypt(entity: bytes, certificate: Path, header: tuple[str, str, str]) -> bytes:
    """A whole mail from, to, subject = `header`, encrypted with AES-256."""
    from_, to, subject = header
    arguments = ("-aes256", "-from", from_, "-to", to, "-subject", subject, "-crlfeol", certificate)
    return _crlf(run("cms", "-encrypt", *arguments, stdin=entity))


def _crlf(octets: bytes) -> bytes:
    """The lines that openssl writes around the content end in LF; mail's end in CRLF."""
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def verify_stamp(entity: bytes, root: Path, scratch: Path) -> str:
    """Checks the time-stamp over the signature of a signed entity; returns its time as openssl prints it."""
    der = run("cms", "-cmsout", "-inform", "SMIME", "-outform", "DER", stdin=entity)
    info = parse_signed(der).signer_infos[0]
    signature, token = scratch / "signature.bin", scratch / "token.der"
    signature.write_bytes(info.signature)
    token.write_bytes(info.timestamps[0])
    run("ts", "-verify", "-data", signature, "-in", token, "-token_in", "-CAfile", root)
    text = run("ts", "-reply", "-in", token, "-token_in", "-text").decode()
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Time stamp")), "")
