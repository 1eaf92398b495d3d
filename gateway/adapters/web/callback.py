"""Calls clients with the results of their codes (docs/api-callbacks.md): signed, without redirects, with a deadline.

The header field `Sealgate-Signature: t=SECONDS,v1=HEX` is HMAC-SHA-256 with the client's secret over "SECONDS.BODY":
who gets it compares, and refuses what is older than some minutes, so that what was listened to cannot be sent again.
Where a client lives is the operator's word, so any address may be called; what it answers with is not read.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Final

from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.web.client import Web
from gateway.clock import Clock
from gateway.ports.services.callbacks import Call

DEADLINE_S: Final = 5.0
SIGNATURE: Final = "Sealgate-Signature"
EVENT: Final = "Sealgate-Event"  # the event's id, the same at each try: a client that has it already answers 200


class CallbackHttp:
    """One client's. Safe on many threads."""

    def __init__(self, url: str, secret_file: Path, clock: Clock) -> None:
        """KEY_UNAVAILABLE (retry), CONFIG_INVALID: of the secret's file."""
        self._url = url
        self._secret = mac_secret(secret_file)
        self._clock = clock
        self._web = Web(schemes=frozenset({"https", "http"}), networks=("0.0.0.0/0", "::/0"), connections_max=2)

    def call(self, call: Call) -> None:
        """Returns once the client has answered 2xx. FETCH_* if not; `detail` names host and status, and no content."""
        body = call.body.encode()
        fields = {SIGNATURE: signature(self._secret, int(self._clock.now().timestamp()), body), EVENT: call.event}
        self._web.notify(self._url, body, "application/json", deadline_s=DEADLINE_S, fields=fields)

    def close(self) -> None:
        """Idle connections end."""
        self._web.close()


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """The value of the field. `seconds` since 1970."""
    mac = hmac.new(secret, b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={mac}"
