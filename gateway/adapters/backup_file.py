"""A backup as a file: a tar of named members, with a list of them and their SHA-256 in `manifest.json`.

Any tar program reads it. The hashes find what a disk or a transfer spoiled before anything is written; they are no
signature: who may change the file may change them, so keep it as carefully as the database.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from gateway.errors import GatewayError, Reason

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
_READ: Final = 1 << 20


class Writer:
    """Made by `writing`."""

    def __init__(self, tar: tarfile.TarFile, directory: Path) -> None:
        self._tar = tar
        self._directory = directory
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

    def _put(self, name: str, octets: int, file: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = octets, 0o600
        self._tar.addfile(info, file)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A new file, mode 0600, there when it is whole. USAGE if it is there already or cannot be written."""
    part: Path | None = None
    try:
        if path.exists():
            raise GatewayError(Reason.USAGE, f"{path} is there already")
        # A name that nobody can know before: what another user has laid there, a link or a file of his, is not written.
        descriptor, name = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar, path.parent)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # never over another one
    except OSError as error:
        raise GatewayError(Reason.USAGE, f"{path}: {error.strerror}") from None
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
        """One member by its lines."""
        file = self._tar.extractfile(name)
        return iter(()) if file is None else iter(file)

    def octets(self, name: str) -> bytes:
        """One member whole."""
        file = self._tar.extractfile(name)
        return b"" if file is None else file.read()


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """After every member was read once and found as the manifest says. USAGE if anything is not."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield Reader(tar, _checked(path, tar))
    except tarfile.TarError as error:
        raise GatewayError(Reason.USAGE, f"{path} is no backup: {error}") from None
    except OSError as error:
        raise GatewayError(Reason.USAGE, f"{path}: {error.strerror}") from None


def _checked(path: Path, tar: tarfile.TarFile) -> dict[str, Any]:
    found = {member.name: member for member in tar.getmembers()}
    if MANIFEST not in found or len(found) != len(tar.getmembers()):
        raise GatewayError(Reason.USAGE, f"{path} is no backup: it has no {MANIFEST}, or a name twice")
    if odd := sorted(name for name, member in found.items() if not member.isreg()):
        raise GatewayError(Reason.USAGE, f"{path} is no backup: {odd[0]} is no file")  # but a link, a device, …
    try:
        manifest = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
        if manifest["format"] != FORMAT:
            raise GatewayError(Reason.USAGE, f"{path} is of format {manifest['format']}, this program reads {FORMAT}")
        listed = {name: (member["octets"], member["sha256"]) for name, member in manifest["members"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GatewayError(Reason.USAGE, f"{path} is no backup: its {MANIFEST} cannot be read") from None
    if listed.keys() != found.keys() - {MANIFEST}:
        wrong = ", ".join(sorted(listed.keys() ^ (found.keys() - {MANIFEST})))
        raise GatewayError(Reason.USAGE, f"{path} is not whole: {wrong}")
    for name, said in listed.items():
        if (found[name].size, _digest(tar, name)) != said:
            raise GatewayError(Reason.USAGE, f"{path} is damaged: {name} is not what was written")
    result: dict[str, Any] = manifest
    return result


def _digest(tar: tarfile.TarFile, name: str) -> str:
    file, digest = tar.extractfile(name), hashlib.sha256()
    while file is not None and (part := file.read(_READ)):
        digest.update(part)
    return digest.hexdigest()
