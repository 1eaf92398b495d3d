"""From a draft to a sealed mail (RFC 8551 3, RFC 9788 5.2), in the fixed order of sealing:

1. label (subject tag, header fields)
2. protect the header fields
3. sign, and 4. stamp the signature: once per content and signer, however many groups a mail has
5. encrypt
6. check in pairs: what leaves is read again and must be what was meant
"""

import hashlib
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from gateway.cms.algorithms import ContentCipher, KeyTransport
from gateway.cms.enveloped import encrypt
from gateway.cms.signed import sign
from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import passes_hops
from gateway.mime.header import parse_headers, prepend_fields, replace_field
from gateway.mime.smime_forms import pkcs7_mime, signed_entity
from gateway.mime.words import encode_unstructured
from gateway.smime.check import check_encrypted, check_signed
from gateway.smime.draft import Draft, Signer, Stamping
from gateway.smime.protect import Protected, protect, split

log = structlog.get_logger("sealgate.seal")

_CIPHERS: Final = {"cbc": ContentCipher.AES256_CBC, "gcm": ContentCipher.AES256_GCM}

_Stamp = Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message, or its signed entity, in CRLF. `stamped_by`: the stamper that stamped it; '' without a stamp."""

    octets: bytes
    stamped_by: str = ""


SignedOnce = MutableMapping[tuple[bytes, str, bool, str, bool], Sealed]


def seal(draft: Draft, at: datetime, signed_once: SignedOnce | None) -> Sealed:
    """The whole message as it leaves. `at`: the signing time; `signed_once`: the signed entities of this mail.

    `signed_once` None: no other group of the mail needs the signed entity. Then a mail of 50 MB is in memory three and
    a half times at most, the received octets included.

    GatewayError STAMPER_* (retry), KEY_UNAVAILABLE (retry), CERTIFICATE_* for a certificate nothing can be
    encrypted to, INTERNAL (retry) if what was made is not what was meant.
    """
    octets = labelled(draft.octets, draft.subject_tag, draft.headers)
    if draft.signer is None and not draft.encrypt_to:
        return Sealed(octets)
    if draft.signer is None:
        raise GatewayError(Reason.INTERNAL, "encrypting without signing", retry=True)
    parts = _protected(octets, draft)
    outer = parts.outer + b"MIME-Version: 1.0\r\n"
    signed = _signed_once(parts.payload, draft, draft.signer, at, signed_once)
    del parts
    stamped_by = signed.stamped_by
    if not draft.encrypt_to:
        return Sealed(outer + signed.octets, stamped_by)
    transport = KeyTransport.OAEP_SHA256 if draft.oaep else KeyTransport.PKCS1
    der = encrypt(signed.octets, draft.encrypt_to, _CIPHERS[draft.cipher], transport)
    del signed
    check_encrypted(der, draft.encrypt_to, _CIPHERS[draft.cipher])
    kind = "authEnveloped-data" if draft.cipher == "gcm" else "enveloped-data"
    return Sealed(pkcs7_mime(der, kind, "smime.p7m", outer), stamped_by)


def _signed_once(
    payload: bytes, draft: Draft, signer: Signer, at: datetime, signed_once: SignedOnce | None
) -> Sealed:
    """The signed entity: the one that another group of the mail got, or a new one."""
    signer = _fitting(signer, payload)
    key = (
        hashlib.sha256(payload).digest(),
        signer.name,
        signer.detached,
        draft.stamping.names if draft.stamping else "",
        bool(draft.stamping and draft.stamping.optional),  # what left unstamped there is not good enough here
    )
    known = None if signed_once is None else signed_once.get(key)
    if known is None:
        stamps = _Stamps(draft.stamping)
        entity = _signed(payload, key[0], signer, stamps.stamp if draft.stamping else None, at)
        known = Sealed(entity, stamps.stamped_by)
        if signed_once is not None:
            signed_once[key] = known
    return known


def labelled(octets: bytes, subject_tag: str | None, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Step 1. A tag that is there already is not put twice (replies carry it back)."""
    if subject_tag is not None:
        subject = parse_headers(octets).text("subject") or ""
        if not subject.startswith(subject_tag):
            octets = replace_field(
                octets, "Subject", encode_unstructured("Subject", f"{subject_tag} {subject}".rstrip())
            )
    fields = [encode_unstructured(name, text) for name, text in headers]
    return prepend_fields(octets, *fields) if fields else octets


def _protected(octets: bytes, draft: Draft) -> Protected:
    """Step 2."""
    if draft.protect is None:
        return split(octets, encrypt=bool(draft.encrypt_to))
    return protect(octets, draft.entity, outer_subject=draft.protect.outer_subject, encrypt=bool(draft.encrypt_to))


def _fitting(signer: Signer, entity: bytes) -> Signer:
    """Content that could not be made 7-bit (the author's own signature covers it) is signed opaque, in base64.

    In the open a hop might re-encode it, and the signature around it would break.
    """
    return replace(signer, detached=False) if signer.detached and not passes_hops(entity) else signer


def _signed(entity: bytes, sha256: bytes, signer: Signer, stamp: _Stamp | None, at: datetime) -> bytes:
    """Steps 3 and 4: the entity signed, as an entity again."""
    name = signer.prepared.digest_name
    digest = sha256 if name == "sha256" else hashlib.new(name, entity).digest()
    der = sign(
        signer.prepared,
        content=None if signer.detached else entity,
        digest=digest,
        at=at,
        raw_sign=signer.raw_sign,
        stamp=stamp,
    )
    check_signed(der, signer.certificate, entity, digest, at, detached=signer.detached)
    if not signer.detached:
        return pkcs7_mime(der, "signed-data", "smime.p7m")
    return signed_entity(entity, der, signer.prepared.micalg)


class _Stamps:
    """Stamps a signature value (RFC 3161 appendix A) by the first service that can: `stamped_by`."""

    def __init__(self, stamping: Stamping | None) -> None:
        self._stamping = stamping
        self.stamped_by = ""

    def stamp(self, signature: bytes) -> bytes | None:
        """The token; None where the rule permits a mail without one. Raises the GatewayError of the last stamper."""
        if self._stamping is None:
            return None
        digest = hashlib.sha256(signature).digest()
        for one in (self._stamping.stamper, *self._stamping.others):
            try:
                token = one.stamp(digest, "sha256")
            except GatewayError as error:
                log.info("stamper.skipped", stamper=one.name, reason=str(error.reason))
                trouble = error
            else:
                self.stamped_by = one.name
                return token
        if not self._stamping.optional:
            raise trouble
        log.warning("stamp.omitted", stamper=self._stamping.names, reason=str(trouble.reason))
        return None
