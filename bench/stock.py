"""The peer of goal 2: stock aiosmtpd and stock aiosmtplib, as their documentation shows, doing only sign and encrypt.

`python -m bench.stock DIRECTORY PORT NEXT_PORT`. DIRECTORY is a demo's bank. Sealing is the gateway's own CMS layer, so
that the ratio tells of everything around it. Connections to the next hop are kept, which the examples do not do.
"""

import asyncio
import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib
import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.cms import enveloped, signed
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import load_certificates
from gateway.mime import smime_forms
from gateway.model.scheme import SignScheme

_CONTENT_FIELDS = (b"content-type:", b"content-transfer-encoding:", b"mime-version:")


class SealingHandler:
    """aiosmtpd's handler."""

    def __init__(self, home: Path, next_port: int) -> None:
        key = load_pem_private_key((home / "keys/otp.key.pem").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._sign = key.sign
        (certificate,) = load_certificates((home / "keys/otp.crt.pem").read_bytes())
        self._prepared = signed.prepare(signed.SignerProfile(
            certificate, load_certificates((home / "pki/chain.pem").read_bytes()), SignScheme.RSA_PKCS1_SHA256))
        self._recipients = load_certificates((home / "customers/ben.crt.pem").read_bytes())
        self._next_port = next_port
        self._idle: list[aiosmtplib.SMTP] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        """Seals and hands on."""
        del server, session
        assert isinstance(envelope.content, bytes)
        mail = self._seal(envelope.content)
        client = self._idle.pop() if self._idle else await self._connect()
        await client.sendmail(envelope.mail_from or "", envelope.rcpt_tos, mail)
        self._idle.append(client)
        return "250 OK"

    async def _connect(self) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self._next_port, start_tls=False)
        await client.connect()
        return client

    def _seal(self, mail: bytes) -> bytes:
        head, _, body = mail.partition(b"\r\n\r\n")
        outer: list[bytes] = []
        inner: list[bytes] = []
        kept = outer
        for line in head.split(b"\r\n"):
            if not line.startswith((b" ", b"\t")):
                kept = inner if line.lower().startswith(_CONTENT_FIELDS) else outer
            kept.append(line)
        entity = b"\r\n".join((*inner, b"", body))
        der = signed.sign(self._prepared, content=None, digest=hashlib.sha256(entity).digest(), at=datetime.now(UTC),
                          raw_sign=lambda octets: self._sign(octets, padding.PKCS1v15(), hashes.SHA256()))
        header, signed_body = smime_forms.multipart_signed(entity, der, self._prepared.micalg)
        envelope = enveloped.encrypt(b"".join((header, b"\r\n", signed_body)), self._recipients,
                                     ContentCipher.AES256_CBC)
        return b"\r\n".join((*outer, b"MIME-Version: 1.0", smime_forms.pkcs7_mime(envelope, "enveloped-data")))


async def main() -> None:
    """Serves until it is ended."""
    home, port, next_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    handler = SealingHandler(home, next_port)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(handler, data_size_limit=100_000_000), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
