"""Other people's programs as judges: what is common to them.

A peer that is not installed skips the test by its name; with CI=true it fails it, so that no build machine is green
because it was empty. Each peer stands in its own file: `peer_openssl`, `peer_nss`, `peer_gpgsm`, `peer_bc`.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from gateway.model.scheme import SignScheme
from tests.support.pki import Person, Pki

TIMEOUT_S = 60.0


class PeerRefused(Exception):  # noqa: N818 it is no error of ours
    """The peer says no; the text is what it wrote."""


def missing(what: str, package: str) -> None:
    """Ends the test: skipped on a developer's machine, failed where CI=true."""
    message = f"peer not installed: {what} (Debian package {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def need(program: str, package: str) -> str:
    """The path of a program, or the end of the test."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        missing(program, package)
    assert path is not None
    return path


def run(*command: str | Path, octets: bytes | None = None, environment: dict[str, str] | None = None) -> bytes:
    """Standard output of a program; PeerRefused with its messages if it does not exit 0."""
    done = subprocess.run([str(word) for word in command], input=octets, capture_output=True, timeout=TIMEOUT_S,
                          check=False, env={**os.environ, "LC_ALL": "C", **(environment or {})})
    if done.returncode:
        raise PeerRefused(f"{command[0]} exit {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


@cache
def scratch(name: str) -> Path:
    """A directory of this process for one peer; short, for the agents' sockets; gone at exit."""
    keep = tempfile.TemporaryDirectory(prefix=f"{name}-", dir="/tmp")
    _KEPT.append(keep)
    return Path(keep.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@dataclass(frozen=True, slots=True)
class Signing:
    """How a peer is asked to sign. `stream`: in indefinite length, where the peer can."""

    scheme: SignScheme
    detached: bool = True
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a peer is asked to encrypt. `cipher` as in cms.algorithms ('aes256-cbc').

    `wrap`: 'pkcs1', 'oaep-sha256' or 'oaep-sha256-mgf1-sha1' for RSA; the hash of the key derivation for ECDH.
    """

    cipher: str
    wrap: str
    stream: bool = False


class Peer(Protocol):
    """A program that reads and writes CMS as DER (or BER). Every method raises PeerRefused."""

    name: str

    def verify(self, cms: bytes, detached: bytes | None, pki: Pki) -> bytes:
        """The content, after every signature and path to the PKI's root was checked. `detached`: the content."""
        ...

    def decrypt(self, cms: bytes, person: Person) -> bytes:
        """The content."""
        ...

    def sign(self, content: bytes, person: Person, how: Signing) -> bytes:
        """ContentInfo with SignedData, certificates enclosed."""
        ...

    def encrypt(self, content: bytes, people: tuple[Person, ...], how: Sealing) -> bytes:
        """ContentInfo with EnvelopedData or AuthEnvelopedData."""
        ...
