"""The message key: what makes a retry the same mail, whatever hops wrote on top of it."""

import hashlib

from gateway.mime.header import Headers
from gateway.mime.trace import is_trace
from gateway.model.mail import Mail


def message_key(mail: Mail, headers: Headers, way: str) -> str:
    """SHA-256 (hex) over direction, client, reverse-path and the message without its trace fields.

    Groups and recipients are not part of it: they change when a certificate appears. A queue id is added where
    the front end has one, never used alone: queue ids are reused. `headers`: of `mail.octets`.
    """
    digest = hashlib.sha256()
    for part in (way, mail.origin.client or "", mail.envelope.reverse_path, mail.origin.queue_id or ""):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    for field in headers.fields:
        if not is_trace(field.lower):
            digest.update(field.raw)
    digest.update(memoryview(mail.octets)[headers.body_offset :])
    return digest.hexdigest()
