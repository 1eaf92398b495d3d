"""NSS `cmsutil` as a peer: the engine of Thunderbird. One certificate database per PKI and process."""

import itertools
from functools import cache
from pathlib import Path

from tests.support.peers import Sealing, Signing, need, run, scratch
from tests.support.pki import Person, Pki

_numbers = itertools.count()


class Nss:
    """See peers.Peer. Certificates come to NSS under the nickname that their PKCS#12 carries."""

    name = "nss"

    def __init__(self, pki: Pki) -> None:
        self.cmsutil, self.certutil, self.pk12util = (
            need(program, "libnss3-tools") for program in ("cmsutil", "certutil", "pk12util"))
        self._home = scratch("nss") / str(next(_numbers))
        self._home.mkdir()
        self._database = f"sql:{self._home}"
        run(self.certutil, "-N", "-d", self._database, "--empty-password")
        run(self.certutil, "-A", "-d", self._database, "-n", "root", "-t", "C,C,C", "-i", self._write(pki.root_pem))
        run(self.certutil, "-A", "-d", self._database, "-n", "mail-ca", "-t", ",,",
            "-i", self._write(pki.intermediate.der))
        self._known: dict[bytes, str] = {}

    def _write(self, octets: bytes) -> Path:
        path = self._home / f"{next(_numbers)}.bin"
        path.write_bytes(octets)
        return path

    def _nickname(self, person: Person) -> str:
        """The person's name in the database; imports the key at the first time."""
        if person.der not in self._known:
            run(self.pk12util, "-i", self._write(person.p12(b"demo")), "-d", self._database, "-W", "demo", "-K", "")
            self._known[person.der] = person.name
        return self._known[person.der]

    def verify(self, cms: bytes, detached: bytes | None, pki: Pki) -> bytes:
        """See peers.Peer: verified as an e-mail signer (usage 4)."""
        del pki  # trusted since the database was made
        out = self._write(b"")
        run(self.cmsutil, "-D", "-d", self._database, "-i", self._write(cms), "-o", out, "-u", "4",
            *(() if detached is None else ("-c", self._write(detached))))
        return out.read_bytes() if detached is None else detached

    def decrypt(self, cms: bytes, person: Person) -> bytes:
        """See peers.Peer."""
        self._nickname(person)
        out = self._write(b"")
        run(self.cmsutil, "-D", "-d", self._database, "-i", self._write(cms), "-o", out)
        return out.read_bytes()

    def sign(self, content: bytes, person: Person, how: Signing) -> bytes:
        """See peers.Peer."""
        out = self._write(b"")
        run(self.cmsutil, "-S", "-d", self._database, "-N", self._nickname(person), "-H", how.scheme.digest.upper(),
            "-G", "-P", "-Y", "NONE", "-i", self._write(content), "-o", out, *(("-T",) if how.detached else ()))
        return out.read_bytes()

    def encrypt(self, content: bytes, people: tuple[Person, ...], how: Sealing) -> bytes:
        """See peers.Peer. NSS chooses cipher and wrap itself."""
        del how
        out = self._write(b"")
        run(self.cmsutil, "-E", "-d", self._database, "-r", ",".join(map(self._nickname, people)),
            "-i", self._write(content), "-o", out)
        return out.read_bytes()


@cache
def nss(pki: Pki) -> Nss:
    """The process's one database for this PKI."""
    return Nss(pki)
