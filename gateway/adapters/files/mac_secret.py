"""Secrets that are no keys of mail: codes, passwords and return addresses are derived with them."""

from pathlib import Path
from typing import Final

from gateway.adapters.keys.files import read_secret
from gateway.errors import GatewayError, Reason

CHARACTERS_MIN: Final = 32  # `openssl rand -hex 32` gives 64


def mac_secret(path: Path) -> bytes:
    """The first line of a file that is ours alone. KEY_UNAVAILABLE (retry), CONFIG_INVALID if it is too short."""
    secret = read_secret(path).split(b"\n", 1)[0].strip()
    if len(secret) < CHARACTERS_MIN:
        raise GatewayError(Reason.CONFIG_INVALID, f"{path}: a secret has {CHARACTERS_MIN} random characters or more, "
                           f"such as `openssl rand -hex 32` gives; this has {len(secret)}")
    return secret
