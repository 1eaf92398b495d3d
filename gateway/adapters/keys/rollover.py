"""The next key of a key set, made beside the old one: in the same store, of the same kind, for the same names.

Nothing is overwritten and nothing is taken into use: that happens by the settings, and by the day on which the new
certificate becomes valid.
"""

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from gateway.adapters.keys import tools as key_tools
from gateway.adapters.keys.combined import with_tokens
from gateway.adapters.keys.files import read_passphrase
from gateway.adapters.keys.refused_pins import directory_of
from gateway.adapters.keys.request import asked_again
from gateway.adapters.keys.tools import Bundle
from gateway.cms.certificate import Certificate, load_certificates
from gateway.errors import GatewayError, Reason, file_error
from gateway.settings import Generation, KeySet, Settings

_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "/._-")


@dataclass(frozen=True, slots=True)
class Rolled:
    """What was made. `place`: the key's file, or TOKEN:OBJECT; `lines`: for the key set in the settings, as YAML."""

    place: str
    algorithm: str
    request: Path
    certificate: Path
    lines: tuple[str, ...]


def roll_over(settings: Settings, name: str, today: date, algorithm: str | None = None) -> Rolled:
    """Makes the next key of key set `name` and its request; files and objects are named by the date.

    USAGE: no such key set, a kind too weak, something of this name exists. KEY_UNAVAILABLE: the token.
    """
    key_set = _named(settings, name)
    newest, certificate = _newest(key_set)
    known = key_tools.TOKEN_ALGORITHMS if newest.token else key_tools.ALGORITHMS
    if algorithm is None:
        kind = certificate.key_algorithm
        algorithm = kind if kind in known and kind != "x25519" else key_tools.DEFAULT_ALGORITHM
    key_tools.check_new(algorithm, known)
    whom = asked_again(certificate, key_set.purpose)
    stem = f"{name}-{today:%Y-%m-%d}"
    directory = newest.certificate.parent if newest.key is None else newest.key.parent
    request, coming = directory / f"{stem}.csr.pem", directory / f"{stem}.crt.pem"
    if coming.exists():
        raise GatewayError(Reason.USAGE, f"{coming}: exists already")
    if newest.token:
        token = next(one for one in settings.tokens if one.name == newest.token)
        made_on_token(request, lambda: with_tokens().make_key(
            token, stem, algorithm, whom, decrypts=key_set.purpose == "decrypt",
            refused_pins=directory_of(settings)))
        place, lines = f"{token.name}:{stem}", [("token", token.name), ("object", stem)]
    else:
        key = key_tools.generate(algorithm)
        written = key_tools.write(directory, stem, Bundle(key, None, ()), request_pem=key_tools.request(key, whom),
                                  passphrase=read_passphrase(newest.passphrase_file))
        place, lines = str(written.key), [("key", str(written.key))]
        if newest.passphrase_file is not None:
            lines.append(("passphrase_file", str(newest.passphrase_file)))
    lines.append(("certificate", str(coming)))
    if newest.chain is not None:
        lines.append(("chain", str(newest.chain)))
    return Rolled(place, algorithm, request, coming, _yaml(key_set, lines))


def made_on_token(request: Path | None, make: Callable[[], bytes]) -> bytes:
    """The request of a key that `make` makes, written to `request`, which is claimed before anything is made. USAGE."""
    if request is None:
        return make()
    try:
        request.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_tools.write_new(request, b"", 0o644)
    except OSError as error:
        raise GatewayError(Reason.USAGE, file_error(request, error)) from None
    try:
        pem = make()
        request.write_bytes(pem)
    except BaseException:
        request.unlink(missing_ok=True)
        raise
    return pem


def _named(settings: Settings, name: str) -> KeySet:
    for one in settings.keys:
        if one.name == name:
            return one
    if any(one.name == name for one in settings.stampers):
        raise GatewayError(Reason.USAGE, f"`{name}` is a stamper, which has only one key. Add a new stamper instead")
    names = [one.name for one in settings.keys]
    raise GatewayError(Reason.USAGE, f"the settings have no key set `{name}`. Use one of: {', '.join(names)}")


def _newest(key_set: KeySet) -> tuple[Generation, Certificate]:
    """The generation whose certificate ends last. CONFIG_UNREADABLE."""
    found = []
    for one in (key_set, *key_set.generations):
        try:
            found.append((one, load_certificates(one.certificate.read_bytes())[0]))
        except OSError as error:
            raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(one.certificate, error)) from None
    return max(found, key=lambda pair: pair[1].not_after)


def _yaml(key_set: KeySet, lines: list[tuple[str, str]]) -> tuple[str, ...]:
    """As they are written under the key set: `generations:` itself only if it has none yet."""
    head = () if key_set.generations else ("    generations:",)
    body = [f"{name}: {text if _PLAIN.issuperset(text) else json.dumps(text, ensure_ascii=False)}"
            for name, text in lines]
    return (*head, f"      - {body[0]}", *(f"        {line}" for line in body[1:]))
