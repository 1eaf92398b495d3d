"""A backup as a file: a tar of named members, with a list of them and their SHA-256 in `manifest.json`.

Any tar program reads it. The hashes find what a disk or a transfer spoiled. `manifest.json.hmac` finds what a person
changed: HMAC-SHA-256 (RFC 2104) of the manifest's octets in hexadecimal, by a secret that is in no backup and no
database. Both are checked before anything is written, and each member again while it is read.
"""

import hashlib
import hmac
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from gateway.errors import GatewayError, Reason, file_error

MANIFEST: Final = "manifest.json"
MAC: Final = MANIFEST + ".hmac"
FORMAT: Final = 1
_READ: Final = 1 << 20


class Writer:
    """Made by `writing`."""

    def __init__(self, tar: tarfile.TarFile, directory: Path, secret: bytes | None) -> None:
        self._tar = tar
        self._directory = directory
        self._secret = secret
        self.members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, parts: Iterable[bytes]) -> int:
        """One member of any length; the number of its parts. What is not written yet waits on the same disk."""
        digest, octets, count = hashlib.sha256(), 0, 0
        with tempfile.TemporaryFile(dir=self._directory) as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                octets += len(part)
                count += 1
            file.seek(0)
            self._put(name, octets, file)
        self.members[name] = {"octets": octets, "sha256": digest.hexdigest()}
        return count

    def finish(self, manifest: dict[str, Any]) -> None:
        """The list of all that was added, and what else there is to know."""
        octets = json.dumps({"format": FORMAT, **manifest, "members": self.members}, indent=1).encode()
        self._put(MANIFEST, len(octets), io.BytesIO(octets))
        if self._secret is not None:
            mac = _mac(self._secret, octets)
            self._put(MAC, len(mac), io.BytesIO(mac))

    def _put(self, name: str, octets: int, file: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = octets, 0o600
        self._tar.addfile(info, file)


@contextmanager
def writing(path: Path, secret: bytes | None = None) -> Iterator[Writer]:
    """A new file, mode 0600, there when it is whole. USAGE if it is there already or cannot be written.

    `secret`: authenticates it; None writes no `manifest.json.hmac`.
    """
    part: Path | None = None
    try:
        if path.exists():
            raise GatewayError(Reason.USAGE, f"{path} is there already")
        # An unpredictable name, so that a link or a file that another user put there is not overwritten.
        descriptor, name = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar, path.parent, secret)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # never over another one
    except OSError as error:
        raise GatewayError(Reason.USAGE, file_error(path, error)) from None
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink()


class Reader:
    """Made by `reading`: everything in it has been checked."""

    def __init__(self, tar: tarfile.TarFile, manifest: dict[str, Any]) -> None:
        self._tar = tar
        self.manifest = manifest

    def lines(self, name: str) -> Iterator[bytes]:
        """One member by its lines. USAGE after the last one if the file has changed since it was checked."""
        digest = hashlib.sha256()
        for line in self._tar.extractfile(name) or ():
            digest.update(line)
            yield line
        if digest.hexdigest() != self.manifest["members"][name]["sha256"]:
            raise GatewayError(Reason.USAGE, f"{name} was changed while the backup was read")

    def octets(self, name: str) -> bytes:
        """One member whole. USAGE as `lines`."""
        return b"".join(self.lines(name))


@contextmanager
def reading(path: Path, secret: bytes | None = None, *, unverified: bool = False) -> Iterator[Reader]:
    """After every member was read once and found as the manifest says. USAGE if anything is not.

    `secret` verifies who wrote the manifest; `unverified` leaves that out.
    """
    try:
        with tarfile.open(path, mode="r:") as tar:
            _checked_form(path, tar)
            if not unverified:
                _verify(path, tar, secret)
            yield Reader(tar, _checked(path, tar))
    except tarfile.TarError as error:
        raise GatewayError(Reason.USAGE, f"{path} is not a backup: {error}. Name a file of `sealgate backup`") from None
    except OSError as error:
        raise GatewayError(Reason.USAGE, file_error(path, error)) from None


def _mac(secret: bytes, manifest: bytes) -> bytes:
    return hmac.new(secret, manifest, hashlib.sha256).hexdigest().encode()


def _verify(path: Path, tar: tarfile.TarFile, secret: bytes | None) -> None:
    """Before anything of the manifest is parsed. USAGE if the MAC is missing, wrong, or cannot be verified here."""
    parts = {name: tar.extractfile(name) for name in tar.getnames() if name in (MANIFEST, MAC)}
    if MAC not in parts:
        raise GatewayError(Reason.USAGE, f"{path} has no {MAC}, so a change to it cannot be detected. If you trust "
                           "the place where it was kept, add --unverified")
    if secret is None:
        raise GatewayError(Reason.USAGE, f"{path} is authenticated, and the settings have no `backup.secret_file` to "
                           "verify it with. Name the file of the machine that wrote it; if it is lost and you trust "
                           "the place where the backup was kept, add --unverified")
    manifest, mac = (file.read() for name in (MANIFEST, MAC) if (file := parts[name]) is not None)
    if not hmac.compare_digest(_mac(secret, manifest), mac):
        raise GatewayError(Reason.USAGE, f"{path} was changed, or was written with another `backup.secret_file`: do "
                           "not restore it. Take an older backup, and find out who could write to its place")


def _checked_form(path: Path, tar: tarfile.TarFile) -> None:
    """Each name once, files only, a manifest among them."""
    found = {member.name: member for member in tar.getmembers()}
    if MANIFEST not in found or len(found) != len(tar.getmembers()):
        raise GatewayError(Reason.USAGE, f"{path} is not a valid backup: {MANIFEST} is missing, or a name is repeated. "
                           "Use another backup")
    if odd := sorted(name for name, member in found.items() if not member.isreg()):
        raise GatewayError(Reason.USAGE, f"{path} is not a valid backup: {odd[0]} is not a regular file. Use another "
                           "backup")  # but a link, a device, …


def _checked(path: Path, tar: tarfile.TarFile) -> dict[str, Any]:
    found = {member.name: member for member in tar.getmembers()}
    try:
        manifest = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
        if manifest["format"] != FORMAT:
            raise GatewayError(Reason.USAGE, f"{path} is of format {manifest['format']}, this program reads {FORMAT}")
        listed = {name: (member["octets"], member["sha256"]) for name, member in manifest["members"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GatewayError(Reason.USAGE, f"{path} is not a valid backup: {MANIFEST} is damaged. Use another "
                           "backup") from None
    if listed.keys() != found.keys() - {MANIFEST, MAC}:
        wrong = ", ".join(sorted(listed.keys() ^ (found.keys() - {MANIFEST, MAC})))
        raise GatewayError(Reason.USAGE, f"{path} is not whole: {wrong}")
    for name, entry in listed.items():
        if (found[name].size, _digest(tar, name)) != entry:
            raise GatewayError(Reason.USAGE, f"{path} is damaged: {name} is not what was written")
    result: dict[str, Any] = manifest
    return result


def _digest(tar: tarfile.TarFile, name: str) -> str:
    file, digest = tar.extractfile(name), hashlib.sha256()
    while file is not None and (part := file.read(_READ)):
        digest.update(part)
    return digest.hexdigest()
