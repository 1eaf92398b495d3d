"""Checks that a webhook is genuine: Standard Webhooks, v1."""

import base64
import hmac
import time
from collections.abc import Iterable, Mapping

TOLERANCE_S = 300.0


def is_genuine(secrets: str | Iterable[str], headers: Mapping[str, str], body: bytes, *, now: float | None = None,
               tolerance_s: float = TOLERANCE_S) -> bool:
    """Whether the gateway sent this call not longer than `tolerance_s` ago.

    `secrets`: whsec_…, or several during a rotation. `headers`: in any case. `body`: octets as they came.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    seconds, event = fields.get("webhook-timestamp", ""), fields.get("webhook-id", "")
    if not (seconds.isascii() and seconds.isdigit() and event):
        return False
    if abs((time.time() if now is None else now) - int(seconds)) > tolerance_s:
        return False
    signed = f"{event}.{seconds}.".encode() + body
    given = [one.encode() for one in fields.get("webhook-signature", "").split(" ")]
    expected = [b"v1," + base64.b64encode(hmac.digest(_key(one), signed, "sha256"))
                for one in ([secrets] if isinstance(secrets, str) else secrets)]
    return any([hmac.compare_digest(one, other) for one in given for other in expected])  # noqa: C419 - none is left out


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()
