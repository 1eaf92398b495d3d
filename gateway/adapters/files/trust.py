"""Roots and intermediates in PEM or DER files, and in directories of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gateway.cms.certificate import Certificate, load_certificates
from gateway.errors import GatewayError, Reason, file_error

OCTETS_MAX: Final = 16_777_216  # the system's bundle of all web roots has 0.2 MiB
FILES_MAX: Final = 10_000
ENDINGS: Final = (".pem", ".crt", ".cer", ".der", ".p7b", ".p7c")


def load_trusted(paths: Iterable[Path]) -> tuple[Certificate, ...]:
    """The certificates of all files, each once, in order; of a directory those files that end as certificates do.

    CONFIG_UNREADABLE with a line for each file that is missing or is no certificate; an empty directory is rejected
    too, because its owner expects roots in it.
    """
    found: dict[Certificate, None] = {}
    troubles = []
    for path in paths:
        try:
            for file in _files(path):
                found.update(dict.fromkeys(_read(file)))
        except GatewayError as trouble:
            troubles.append(trouble.detail)
    if troubles:
        raise GatewayError(Reason.CONFIG_UNREADABLE, "\n".join(troubles))
    return tuple(found)


def _files(path: Path) -> Iterator[Path]:
    try:
        if not path.is_dir():
            yield path
            return
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    except OSError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(path, error)) from None
    if not files:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: no certificate in this directory ({' '.join(ENDINGS)})")
    if len(files) > FILES_MAX:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: more than {FILES_MAX} files")
    yield from files


def _read(file: Path) -> tuple[Certificate, ...]:
    try:
        with file.open("rb") as opened:
            octets = opened.read(OCTETS_MAX + 1)
    except OSError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(file, error)) from None
    if len(octets) > OCTETS_MAX:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{file}: larger than {OCTETS_MAX} octets")
    try:
        return load_certificates(octets)
    except GatewayError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"{file}: {error.detail}") from None
