"""A mail's CMS layers taken off from the outside in: what was around the payload, and what is left.

Layers are taken off only while the *root* of what is left is itself a CMS object: then nothing is beside
the layer, and what comes out is the whole of what was in. A CMS object inside a multipart is looked at, where
it is a signature, and never decrypted: its neighbours could carry the plaintext away (EFAIL).

RFC 8551 3 (forms and their nesting), RFC 5652, RFC 5083, RFC 3274. Nothing is judged here.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from gateway.cms import algorithms
from gateway.cms.algorithms import WeakCipher
from gateway.cms.compressed import decompress
from gateway.cms.content_keys import ContentKeys
from gateway.cms.enveloped_reader import Enveloped, RecipientKey, decrypt, parse_enveloped
from gateway.cms.signed_reader import SignedData, form_fault, is_content_of, parse_signed
from gateway.der import walk
from gateway.errors import GatewayError, Reason
from gateway.mime.entity import DEFAULT_LIMITS, Entity, parse_entity
from gateway.mime.entity import Limits as MimeLimits
from gateway.mime.smime_forms import Cms, Detached, NotSmime, detect, glance
from gateway.model.verdict import DecryptionVerdict, Layer
from gateway.pki.content import Content

LAYERS_MAX: Final = 8  # RFC 8551 3.7 knows three (signed, encrypted, signed); lists and gateways add some
RECIPIENTS_TOLD: Final = 200  # of one layer, in reports
_TRANSPORTS: Final = {algorithms.RSA: "rsa", algorithms.RSA_OAEP: "rsa-oaep"}
_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")  # what was encrypted may have any line ends
PARTS_MAX: Final = 4  # signatures inside multiparts that are looked at


@dataclass(frozen=True, slots=True)
class OpenLimits:
    """Bounds of one opening. `octets_max` is of what comes out of a compressed layer.

    `weak`: weak ciphers that are opened all the same; such a mail is never trusted and proves nothing.
    """

    octets_max: int = 52_428_800
    mime: MimeLimits = DEFAULT_LIMITS
    weak: frozenset[WeakCipher] = frozenset()


@dataclass(frozen=True, slots=True)
class Signatures:
    """One signed layer: who says to have signed, and exactly which octets.

    `depth`: its index among the layers. `fault`: why it is worth nothing before anybody is asked.
    """

    depth: int
    data: SignedData | None
    content: Content
    fault: Reason | None = None
    covers: Literal["whole", "part"] = "whole"


@dataclass(frozen=True, slots=True)
class Between:
    """The header section, with its empty line, of what was inside the layer with the index `depth`."""

    depth: int
    header: bytes = field(repr=False)


@dataclass(slots=True)
class Peeled:
    """What was found. `payload` is the innermost entity that could be reached; `complete`: it is no CMS layer."""

    payload: Entity
    between: list["Between"] = field(default_factory=list)  # header sections inside layers, from the outside in
    layers: list[Layer] = field(default_factory=list)
    signed: list[Signatures] = field(default_factory=list)
    encrypted_at: list[int] = field(default_factory=list)
    decryption: DecryptionVerdict = field(default_factory=lambda: DecryptionVerdict("not_encrypted"))
    aead: bool = False
    complete: bool = True
    fault: Reason | None = None


def peel(root: Entity, keys: Sequence[RecipientKey], limits: OpenLimits, used_keys: ContentKeys | None = None
         ) -> Peeled:
    """Takes off every layer that is the root. Never raises for what the layers hold.

    `used_keys`: content keys that have been used, so that one which served a cipher opens nothing under another.
    """
    found = Peeled(root)
    form = detect(root)
    unread: bytes | None = None  # the entity that `form` is of, if `glance` decided
    while True:
        if isinstance(form, NotSmime) and not _broken_signed(found.payload):
            break
        if len(found.layers) >= LAYERS_MAX:
            return _incomplete(found, unread, limits, Reason.INPUT_LIMIT_EXCEEDED)
        inner = _signed_in_two(found, form) if not isinstance(form, Cms) else _cms(found, form, keys, limits, used_keys)
        if inner is None:
            return _incomplete(found, unread, limits)
        inner = _with_line_ends(inner)
        end = _EMPTY_LINE.search(inner, 0, limits.mime.header_octets_max)
        found.between.append(Between(len(found.layers) - 1, inner[:end.end()] if end else b""))
        try:
            glanced = glance(inner, limits.mime)
            if glanced is None:
                found.payload = parse_entity(inner, limits.mime)
        except GatewayError as error:
            return _incomplete(found, unread, limits, error.reason)
        form, unread = (detect(found.payload), None) if glanced is None else (glanced, inner)
    found.layers.append(Layer("plain"))
    _parts(found)
    return found


def _with_line_ends(content: bytes) -> bytes:
    """Content for readers. Where CR alone ends all lines, a reader would find no end of the header and an empty body.

    The signature is verified over the octets as they came.
    """
    return content if b"\n" in content or b"\r" not in content else content.replace(b"\r", b"\r\n")


def _incomplete(found: Peeled, unread: bytes | None, limits: OpenLimits, fault: Reason | None = None) -> Peeled:
    """The layer that did not come off is the payload."""
    found.complete = False
    found.fault = fault or found.fault
    if unread is not None:
        try:
            found.payload = parse_entity(unread, limits.mime)
        except GatewayError as error:
            found.fault = found.fault or error.reason
    return found


def content_type(der: bytes) -> str:
    """The dotted content type of a ContentInfo, DER or BER, without reading more of it. DerMalformed if it is none."""
    if len(der) < 4 or der[0] != walk.SEQUENCE:
        raise walk.DerMalformed("no ContentInfo")
    return walk.decode_oid(der, walk.read(der, 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)))


def peel_detached(root: Entity, der: bytes, content: bytes | None, limits: OpenLimits) -> Peeled | None:
    """The one layer of a SignedData without content of its own, over `content`; None if `der` is anything else.

    Without `content` the signature cannot be verified: it is neither valid nor invalid.
    """
    try:
        data = parse_signed(der)
    except GatewayError:
        return None
    if data.content is not None or not data.signer_infos:
        return None
    found = Peeled(root)
    _add_signed(found, der, Content(content or b""), detached=True)
    if content is None:
        found.signed[0] = replace(found.signed[0], fault=Reason.SIGNATURE_CONTENT_MISSING)
        found.complete = False
        return found
    found.payload = parse_entity(content, limits.mime)
    found.layers.append(Layer("plain"))
    return found


def _signed_in_two(found: Peeled, form: Detached | NotSmime) -> bytes | None:
    """multipart/signed. One that is not made of exactly two parts is a forgery's shape: its signature is worthless."""
    if isinstance(form, NotSmime):
        found.layers.append(Layer("signed"))
        found.signed.append(Signatures(len(found.layers) - 1, None, Content(b""), Reason.SIGNATURE_MALFORMED))
        return None
    _add_signed(found, form.signature, Content(form.content), detached=True)
    return found.signed[-1].content.octets


def _broken_signed(entity: Entity) -> bool:
    """Labelled multipart/signed for S/MIME, but without the one content and the one signature."""
    if entity.type != "multipart/signed":
        return False
    protocol = entity.content_type.params.get("protocol", "").lower()
    return "pkcs7-signature" in protocol or any("pkcs7-signature" in child.type for child in entity.children)


def _cms(found: Peeled, form: Cms, keys: Sequence[RecipientKey], limits: OpenLimits,
         used_keys: ContentKeys | None) -> bytes | None:
    try:
        kind = content_type(form.der)
    except GatewayError:
        kind = ""
    if kind == algorithms.SIGNED_DATA:
        return _add_signed(found, form.der, None, detached=False)
    if kind in {algorithms.ENVELOPED_DATA, algorithms.AUTH_ENVELOPED_DATA}:
        return _decrypted(found, form.der, kind, keys, limits, used_keys)
    if kind == algorithms.COMPRESSED_DATA:
        found.layers.append(Layer("compressed", ("zlib",)))
        try:
            return decompress(form.der, limits.octets_max)
        except GatewayError as error:
            found.fault = error.reason
            return None
    # Labelled as CMS, but of no known form. The label says what is missing; a failure to decrypt is always one.
    if "enveloped" in form.smime_type:
        found.layers.append(Layer("enveloped"))
        found.encrypted_at.append(len(found.layers) - 1)
        found.decryption = DecryptionVerdict("failed", Reason.DECRYPTION_FAILED, "whole")
    else:
        found.layers.append(Layer("signed"))
        found.signed.append(Signatures(len(found.layers) - 1, None, Content(b""), Reason.SIGNATURE_MALFORMED))
    return None


def _add_signed(found: Peeled, der: bytes, content: Content | None, *, detached: bool,
                covers: Literal["whole", "part"] = "whole") -> bytes | None:
    """Records a SignedData; returns its own content, None where it has none."""
    data: SignedData | None = None
    fault: Reason | None = None
    try:
        data = parse_signed(der)
        fault = form_fault(data, detached=detached)
    except GatewayError as error:
        fault = error.reason
    if found.encrypted_at and data is not None and content is not None and fault is None:
        content = _as_signed(data, content)
    own = data.content if data is not None else None
    infos = data.signer_infos if data is not None else ()
    names = tuple(dict.fromkeys(info.signature_algorithm.name for info in infos))
    found.layers.append(Layer("signed", names))
    found.signed.append(Signatures(len(found.layers) - 1, data, content or Content(own or b""), fault, covers))
    return own


def _as_signed(data: SignedData, content: Content) -> Content:
    """The content with the line ends that were signed: as received, or CRLF where only that form has the digest.

    Some programs encrypt the LF form of what they signed with CRLF (RFC 8551 3.1.1); OpenSSL and Thunderbird verify
    it. Outside an encryption no mail has lone LFs (SMTP), and no octet is repaired.
    """
    if is_content_of(data, content.digest):
        return content
    canonical = Content(content.octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return canonical if is_content_of(data, canonical.digest) else content


def _decrypted(found: Peeled, der: bytes, kind: str, keys: Sequence[RecipientKey], limits: OpenLimits,
               used_keys: ContentKeys | None) -> bytes | None:
    """One encrypted layer. Every fault is reported as one and the same failure, except for 'no key of the bank'."""
    name: Literal["enveloped", "auth_enveloped"] = (
        "auth_enveloped" if kind == algorithms.AUTH_ENVELOPED_DATA else "enveloped")
    found.encrypted_at.append(len(found.layers))
    try:
        enveloped = parse_enveloped(der)
    except GatewayError:
        found.layers.append(Layer(name))
        found.decryption = DecryptionVerdict("failed", Reason.DECRYPTION_FAILED, "whole")
        return None
    found.layers.append(_layer(enveloped))
    try:
        content = decrypt(enveloped, keys, used_keys, limits.weak)
    except GatewayError as error:
        if error.retry:
            raise
        if error.reason is Reason.DECRYPTION_NO_KEY:
            found.decryption = DecryptionVerdict("no_key", error.reason, "whole")
        else:
            found.decryption = DecryptionVerdict("failed", Reason.DECRYPTION_FAILED, "whole")
        return None
    weak = isinstance(enveloped.cipher, WeakCipher) or found.decryption.reason is Reason.DECRYPTION_WEAK_ALGORITHM
    found.decryption = DecryptionVerdict("decrypted", Reason.DECRYPTION_WEAK_ALGORITHM if weak else None, "whole")
    found.aead = enveloped.authenticated
    return content


def _layer(enveloped: Enveloped) -> Layer:
    """The report on an encrypted layer: cipher, then key management; recipients as the infos name them."""
    ways = [_TRANSPORTS.get(info.algorithm.oid, info.algorithm.oid) if info.kind == "key_transport" and info.algorithm
            else "ecdh" if info.kind == "key_agreement" else "other" for info in enveloped.recipients]
    return Layer(enveloped.kind, (enveloped.cipher_name, *dict.fromkeys(ways)),
                 tuple(map(str, enveloped.recipients[:RECIPIENTS_TOLD])))


def _parts(found: Peeled) -> None:
    """CMS objects beside other parts: a signature is kept as covering a part; encryption is reported and not opened.

    This is skipped if a signature covers the whole: then they are that signer's attachments. Messages enclosed as
    message/rfc822 are other persons' mail and are not judged here.
    """
    if any(signatures.data is None or signatures.data.signer_infos for signatures in found.signed):
        return
    waiting = deque(found.payload.children if found.payload.is_multipart else ())
    looked_at = 0
    while waiting and looked_at < PARTS_MAX:
        entity = waiting.popleft()
        form = detect(entity)
        if isinstance(form, NotSmime):
            if entity.is_multipart:
                waiting.extend(entity.children)
            continue
        looked_at += 1
        if isinstance(form, Detached):
            _add_signed(found, form.signature, Content(form.content), detached=True, covers="part")
            continue
        try:
            kind = content_type(form.der)
        except GatewayError:
            continue
        if kind == algorithms.SIGNED_DATA:
            _add_signed(found, form.der, None, detached=False, covers="part")
        elif kind in {algorithms.ENVELOPED_DATA, algorithms.AUTH_ENVELOPED_DATA}:
            _encrypted_part(found, form.der, kind)


def _encrypted_part(found: Peeled, der: bytes, kind: str) -> None:
    name: Literal["enveloped", "auth_enveloped"] = (
        "auth_enveloped" if kind == algorithms.AUTH_ENVELOPED_DATA else "enveloped")
    try:
        enveloped = parse_enveloped(der)
        found.layers.append(_layer(enveloped))
    except GatewayError:
        found.layers.append(Layer(name))
    if found.decryption.status == "not_encrypted":
        found.decryption = DecryptionVerdict("failed", Reason.DECRYPTION_PART_ONLY, "part")
