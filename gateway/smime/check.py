"""Reads each produced message again with the reader's code, and compares it with the intention.

A fault of the gateway becomes INTERNAL with retry: the mail stays with its sender, and nothing wrong leaves.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate
from gateway.cms.enveloped_reader import parse_enveloped
from gateway.cms.signed_reader import parse_signed, verify
from gateway.errors import GatewayError, Reason


def check_signed(
    der: bytes, certificate: Certificate, content: bytes, digest: bytes, at: datetime, *, detached: bool
) -> None:
    """One SignerInfo, by this certificate, over this digest of `content`, and it verifies with the public key."""
    signed = parse_signed(der)
    if len(signed.signer_infos) != 1:
        _wrong(f"{len(signed.signer_infos)} signers")
    if detached and signed.content is not None:
        _wrong("content inside a detached signature")
    if not detached and signed.content != content:
        _wrong("other content inside an opaque signature")
    reason = verify(signed.signer_infos[0], certificate, lambda _: digest, at=at)
    if reason is not None:
        _wrong(f"the signature does not verify: {reason}")


def check_encrypted(der: bytes, recipients: Sequence[Certificate], cipher: ContentCipher) -> None:
    """The recipients are those of the plan, each once, and the cipher is the one that was chosen."""
    enveloped = parse_enveloped(der)
    if enveloped.cipher != cipher:
        _wrong(f"encrypted with {enveloped.cipher}")
    planned = {(one.issuer_der, one.serial) for one in recipients}
    named = [(info.who.issuer_der, info.who.serial) for info in enveloped.recipients if info.who is not None]
    if len(enveloped.recipients) != len(planned) or set(named) != planned:
        _wrong(f"{len(enveloped.recipients)} recipient infos for {len(planned)} certificates, or for others")


def _wrong(what: str) -> NoReturn:
    raise GatewayError(Reason.INTERNAL, f"what was sealed is not what was meant: {what}", retry=True)
