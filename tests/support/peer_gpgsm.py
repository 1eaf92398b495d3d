"""`gpgsm` as a peer. One GNUPGHOME per PKI and process; its agent ends with the process."""

import atexit
import hashlib
import itertools
import subprocess
from functools import cache
from pathlib import Path

from tests.support.peers import PeerRefused, Sealing, Signing, need, run, scratch
from tests.support.pki import Person, Pki

_numbers = itertools.count()


class Gpgsm:
    """See peers.Peer."""

    name = "gpgsm"

    def __init__(self, pki: Pki) -> None:
        self.program = need("gpgsm", "gpgsm")
        need("gpg-agent", "gpg-agent")
        self._home = scratch("gpgsm") / str(next(_numbers))
        self._home.mkdir(mode=0o700)
        fingerprint = hashlib.sha1(pki.root.der).hexdigest().upper()
        (self._home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-dirmngr\nbatch\nassume-binary\n")
        (self._home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        (self._home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
        atexit.register(subprocess.run, ["gpgconf", "--homedir", str(self._home), "--kill", "all"],
                        check=False, capture_output=True)
        self._run("--import", self._write(pki.root.der))
        self._run("--import", self._write(pki.intermediate.der))
        self._known: set[bytes] = set()

    def _run(self, *words: str | Path) -> bytes:
        return run(self.program, "--homedir", self._home, "--batch", "--yes", "--pinentry-mode", "loopback",
                   "--passphrase-fd", "0", *words, octets=b"demo\n")

    def _write(self, octets: bytes, suffix: str = "bin") -> Path:
        path = self._home / f"{next(_numbers)}.{suffix}"
        path.write_bytes(octets)
        return path

    def _import(self, person: Person) -> str:
        if person.der not in self._known:
            self._run("--import", self._write(person.p12(b"demo"), "p12"))
            self._known.add(person.der)
        return "0x" + hashlib.sha1(person.der).hexdigest().upper()

    def verify(self, cms: bytes, detached: bytes | None, pki: Pki) -> bytes:
        """See peers.Peer. The status lines must say a good signature of full trust."""
        del pki  # trusted since the home was made
        out = self._write(b"")
        status = self._run("--status-fd", "1", *(("--output", out) if detached is None else ()),
                           "--verify", self._write(cms), *(() if detached is None else (self._write(detached),)))
        if b"GOODSIG" not in status or b"TRUST_FULLY" not in status:
            raise PeerRefused(f"gpgsm: {status.decode()}")
        return out.read_bytes() if detached is None else detached

    def decrypt(self, cms: bytes, person: Person) -> bytes:
        """See peers.Peer."""
        self._import(person)
        out = self._write(b"")
        self._run("--output", out, "--decrypt", self._write(cms))
        return out.read_bytes()

    def sign(self, content: bytes, person: Person, how: Signing) -> bytes:
        """See peers.Peer."""
        out = self._write(b"")
        self._run("--local-user", self._import(person), "--digest-algo", how.scheme.digest.upper(), "--output", out,
                  "--include-certs", "-1", *(("--detach-sign",) if how.detached else ("--sign",)),
                  self._write(content))
        return out.read_bytes()

    def encrypt(self, content: bytes, people: tuple[Person, ...], how: Sealing) -> bytes:
        """See peers.Peer. gpgsm writes CBC and PKCS#1 or ECDH."""
        out = self._write(b"")
        recipients = [word for person in people for word in ("--recipient", self._import(person))]
        self._run(*recipients, "--cipher-algo", how.cipher.partition("-")[0].upper(), "--output", out,
                  "--encrypt", self._write(content))
        return out.read_bytes()


@cache
def gpgsm(pki: Pki) -> Gpgsm:
    """The process's one home for this PKI."""
    return Gpgsm(pki)
