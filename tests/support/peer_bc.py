"""Bouncy Castle as a peer: tests/support/java/Peer.java, compiled once, one JVM for all tests of a process."""

import atexit
import base64
import hashlib
import os
import select
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.model.scheme import SignScheme
from tests.support.peers import TIMEOUT_S, PeerRefused, Sealing, Signing, missing, need
from tests.support.pki import Person, Pki

JARS = tuple(Path("/usr/share/java") / f"bc{name}.jar" for name in ("mail", "pkix", "util", "prov"))
SOURCES = tuple(Path(__file__).parent / "java" / f"{name}.java" for name in ("Peer", "X25519"))

_ALGORITHMS = {"rsa-pkcs1": "WITHRSA", "rsa-pss": "WITHRSAANDMGF1", "ecdsa": "WITHECDSA"}


def class_path(classes: Path) -> str:
    """Java's search path: the compiled classes and Debian's jars."""
    return ":".join(map(str, (classes, *JARS)))


def compiled(*sources: Path) -> Path:
    """The directory of the sources' classes; compiled again only when a source has changed."""
    need("javac", "default-jdk-headless")
    if not all(jar.exists() for jar in JARS):
        missing("Bouncy Castle", "libbcmail-java")
    stamp = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    classes = Path(tempfile.gettempdir()) / f"sealgate-java-{os.getuid()}-{sources[0].stem}-{stamp}"
    if not classes.exists():
        fresh = Path(tempfile.mkdtemp(prefix="sealgate-java-"))
        subprocess.run(["javac", "-nowarn", "-d", str(fresh), "-cp", class_path(fresh), *map(str, sources)],
                       check=True, capture_output=True, timeout=TIMEOUT_S)
        try:
            fresh.rename(classes)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return classes


def scheme_name(scheme: SignScheme) -> str:
    """Bouncy Castle's name of a signature algorithm, e.g. SHA256WITHRSAANDMGF1."""
    if scheme is SignScheme.ED25519:
        return "Ed25519"
    return scheme.digest.upper() + _ALGORITHMS[scheme.value.rpartition("-")[0]]


class BouncyCastle:
    """See peers.Peer."""

    name = "bouncycastle"

    def __init__(self) -> None:
        # -XX flags: the tests make few calls, so a quick start is worth more than quick code.
        self._process = subprocess.Popen(
            [need("java", "default-jdk-headless"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto",
             "-cp", class_path(compiled(*SOURCES)), "Peer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        atexit.register(self._process.kill)
        assert self._line() == b"ready\n"

    def _line(self) -> bytes:
        out: IO[bytes] | None = self._process.stdout
        assert out is not None
        if not select.select([out], [], [], TIMEOUT_S)[0]:
            self._process.kill()
            raise PeerRefused("no answer")
        return out.readline()

    def _ask(self, verb: str, *arguments: bytes | tuple[bytes, ...] | None) -> bytes:
        words = [verb]
        for argument in arguments:
            many = argument if isinstance(argument, tuple) else (argument or b"",)
            words.append(",".join(base64.b64encode(one).decode() for one in many) or "-")
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words).encode() + b"\n")
        self._process.stdin.flush()
        state, _, word = self._line().decode().strip().partition(" ")
        octets = b"" if word in {"-", ""} else base64.b64decode(word)
        if state != "ok":
            raise PeerRefused(f"Bouncy Castle: {octets.decode(errors='replace')}")
        return octets

    def verify(self, cms: bytes, detached: bytes | None, pki: Pki) -> bytes:
        """See peers.Peer."""
        return self._ask("verify", cms, detached, pki.root.der)

    def decrypt(self, cms: bytes, person: Person) -> bytes:
        """See peers.Peer."""
        return self._ask("decrypt", cms, pkcs8(person), person.der)

    def sign(self, content: bytes, person: Person, how: Signing) -> bytes:
        """See peers.Peer."""
        words = [word for word, wanted in (("detached", how.detached), ("stream", how.stream)) if wanted]
        return self._ask("sign", content, pkcs8(person), (person.der, *person.chain_der),
                         scheme_name(how.scheme).encode(), " ".join(words).encode())

    def encrypt(self, content: bytes, people: tuple[Person, ...], how: Sealing) -> bytes:
        """See peers.Peer."""
        return self._ask("encrypt", content, tuple(person.der for person in people),
                         how.cipher.upper().replace("-", "_").encode(), how.wrap.encode(),
                         b"stream" if how.stream else b"plain")

    def encrypt_x25519(self, content: bytes, person: Person, how: str) -> bytes:
        """EnvelopedData (AES-256-CBC) after RFC 8418. `how`: 'hkdf' or 'x963', and 'ukm' beside it or not."""
        return self._ask("x25519-encrypt", content, person.der, how.encode())

    def decrypt_x25519(self, cms: bytes, person: Person) -> bytes:
        """The content for an X25519 key, which `decrypt` does not know."""
        return self._ask("x25519-decrypt", cms, pkcs8(person), person.der)

    def compress(self, content: bytes) -> bytes:
        """ContentInfo with CompressedData (RFC 3274)."""
        return self._ask("compress", content)

    def stamp_request(self, imprint: bytes) -> bytes:
        """A TimeStampReq over this SHA-256 imprint."""
        return self._ask("ts-request", imprint)

    def check_response(self, response: bytes, request: bytes, authority: Person) -> datetime:
        """The time, after the response was held against the request and the authority's certificate."""
        return time_of(self._ask("ts-check", response, request, authority.der))

    def check_token(self, token: bytes, imprint: bytes, authority: Person) -> datetime:
        """The time, after the token was held against the imprint and the authority's certificate."""
        return time_of(self._ask("ts-verify", token, imprint, authority.der))

    def make_token(self, imprint: bytes, authority: Person) -> bytes:
        """A token made by Bouncy Castle with the authority's key."""
        return self._ask("ts-token", imprint, pkcs8(authority), authority.der)

    def check_stamped(self, cms: bytes, authority: Person) -> datetime:
        """The time of the first signer's signature-time-stamp, checked over the signature value."""
        return time_of(self._ask("stamped", cms, authority.der))


@cache
def bouncy_castle() -> BouncyCastle:
    """The process's one JVM."""
    return BouncyCastle()


def time_of(milliseconds: bytes) -> datetime:
    """An aware time."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def pkcs8(person: Person) -> bytes:
    """The private key as DER."""
    return person.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
