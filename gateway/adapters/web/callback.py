"""Calls clients with the results of their codes and runs (docs/api-callbacks.md): signed, without redirects, with a
deadline.

Signed by the scheme of Standard Webhooks: `webhook-signature` has HMAC-SHA-256 over "ID.SECONDS.BODY" for each active
secret, so that a client can change its secret while it is called. `Sealgate-Signature` is the form before that, over
"SECONDS.BODY" with the oldest secret; it ends together with the former paths of the API.
Where a client is, the operator says, so any address may be called; what it answers with is not read.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.adapters.files.mac_secret import CHARACTERS_MIN
from gateway.adapters.keys.files import read_secret
from gateway.adapters.web.client import Web
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.callbacks import Call

DEADLINE_S: Final = 5.0
SIGNATURE: Final = "Sealgate-Signature"
EVENT: Final = "Sealgate-Event"  # as webhook-id
PREFIX: Final = "whsec_"
SECRETS_MAX: Final = 2
_KEY_OCTETS: Final = range(24, 65)  # of a secret in the form of Standard Webhooks


class CallbackHttp:
    """One client's. Safe on many threads."""

    def __init__(self, url: str, secret_file: Path, clock: Clock) -> None:
        """KEY_UNAVAILABLE (retry), CONFIG_INVALID: of the secret's file."""
        self._url = url
        self._secrets = webhook_secrets(secret_file)
        self._clock = clock
        self._web = Web(schemes=frozenset({"https", "http"}), networks=("0.0.0.0/0", "::/0"), connections_max=2)

    def call(self, call: Call) -> None:
        """Returns once the client has answered 2xx. FETCH_* if not; `detail` names host and status, and no content."""
        body, seconds = call.body.encode(), int(self._clock.now().timestamp())
        signatures = (webhook_signature(key, call.event, seconds, body) for _, key in self._secrets)
        fields = {
            "webhook-id": call.event, "webhook-timestamp": str(seconds), "webhook-signature": " ".join(signatures),
            SIGNATURE: signature(self._secrets[-1][0], seconds, body), EVENT: call.event}
        self._web.notify(self._url, body, "application/json", deadline_s=DEADLINE_S, fields=fields)

    def close(self) -> None:
        """Idle connections end."""
        self._web.close()


def webhook_secrets(path: Path) -> Sequence[tuple[bytes, bytes]]:
    """The active secrets, the newest first: one a line, as it is written and as a key. One or two.

    `whsec_` and base64 of 24 to 64 octets, or 32 characters or more, which are the key as they are.
    KEY_UNAVAILABLE (retry), CONFIG_INVALID.
    """
    lines = (line.strip() for line in read_secret(path).splitlines())  # a secret of the former form may have blanks
    found = [(line, _key(line)) for line in lines if line]
    if not 1 <= len(found) <= SECRETS_MAX or not all(key for _, key in found):
        raise GatewayError(
            Reason.CONFIG_INVALID, f"{path}: write one secret, or two during a rotation, each on a line: "
            f"{PREFIX} and base64 of 24 to 64 octets (`openssl rand -base64 32`), or {CHARACTERS_MIN} characters or "
            "more")
    return [(line, key) for line, key in found if key is not None]


def _key(line: bytes) -> bytes | None:
    if not line.startswith(PREFIX.encode()):
        return line if len(line) >= CHARACTERS_MIN else None
    try:
        key = base64.b64decode(line.removeprefix(PREFIX.encode()), validate=True)
    except binascii.Error:
        return None
    return key if len(key) in _KEY_OCTETS else None


def webhook_signature(key: bytes, event: str, seconds: int, body: bytes) -> str:
    """One signature of the field `webhook-signature`. `seconds` since 1970."""
    mac = hmac.digest(key, b"%s.%d.%s" % (event.encode(), seconds, body), "sha256")
    return f"v1,{base64.b64encode(mac).decode('ascii')}"


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """The value of the field `Sealgate-Signature`. `seconds` since 1970."""
    mac = hmac.new(secret, b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={mac}"
