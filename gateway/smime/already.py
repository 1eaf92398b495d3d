"""Whether a mail is signed or encrypted already, by what it carries and not by its label."""

import hashlib
import re
from typing import Final

from gateway.cms import attributes
from gateway.cms.algorithms import AUTH_ENVELOPED_DATA, ENVELOPED_DATA, SIGNED_DATA
from gateway.cms.enveloped_reader import parse_enveloped
from gateway.cms.signed_reader import form_fault, parse_signed
from gateway.der import build
from gateway.errors import GatewayError
from gateway.mime import openpgp
from gateway.mime.entity import Entity, decode
from gateway.mime.smime_forms import Cms, Detached, detect
from gateway.mime.transfer import decode_base64, is_exact
from gateway.model.facts import Already
from gateway.smime.layers import content_type

# What mail programs write before the parts of an encrypted mail, for readers without MIME; else nothing may be there.
_NOTICE: Final = re.compile(rb"\s*(?:This is an OpenPGP/MIME encrypted message \(RFC \d{4}(?: and \d{4})?\)\.?)?\s*")
_PEM: Final = re.compile(rb"\s*-----BEGIN (?:PKCS7|CMS)-----\r?\n([A-Za-z0-9+/=\s]+)-----END (?:PKCS7|CMS)-----\s*")
_DIGESTS: Final = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})


def already(entity: Entity) -> frozenset[Already]:
    """Whether the root is a signature or an encryption, S/MIME or OpenPGP (RFC 3156).

    By what it is, not by its label: rules let such mail leave as it is, and a clear text with that label must not.
    """
    if entity.type == "multipart/encrypted":
        return frozenset({"encrypted"}) if _is_openpgp_encrypted(entity) else frozenset()
    children = entity.children
    if entity.type == "multipart/signed" and [one.type for one in children[1:]] == ["application/pgp-signature"]:
        return frozenset({"signed"}) if openpgp.is_signature(decode(children[1])) else frozenset()
    form = detect(entity)
    try:
        if isinstance(form, Detached):
            return frozenset({"signed"}) if _is_signature_of(form.signature, form.content) else frozenset()
        if not isinstance(form, Cms) or not _is_all_of(entity, form.der):
            return frozenset()
        kind = content_type(form.der)
        if kind in (ENVELOPED_DATA, AUTH_ENVELOPED_DATA):
            return frozenset({"encrypted"}) if parse_enveloped(form.der).recipients else frozenset()
        return frozenset({"signed"}) if kind == SIGNED_DATA and _is_signature_of(form.der, None) else frozenset()
    except GatewayError:
        return frozenset()


def _is_openpgp_encrypted(entity: Entity) -> bool:
    """RFC 3156 4: a control part, then the armoured message, and nothing beside them but a notice for old readers."""
    if len(entity.children) != 2 or entity.preamble is None or entity.epilogue is None:
        return False
    control, message = entity.children
    beside = (entity.octets[slice(*entity.preamble)], entity.octets[slice(*entity.epilogue)])
    return (control.type == "application/pgp-encrypted" and decode(control).strip() == b"Version: 1"
            and all(_NOTICE.fullmatch(text) for text in beside)
            and is_exact(message.octets, message.body_start, message.end, message.cte)
            and openpgp.is_encrypted(decode(message)))


def _is_all_of(entity: Entity, der: bytes) -> bool:
    """Whether the body holds this CMS object, in base64 if it is encoded, and no text before or behind it."""
    if not is_exact(entity.octets, entity.body_start, entity.end, entity.cte):
        return False
    body = decode(entity)
    if body == der:
        return True
    text = _PEM.fullmatch(body)
    inner = text[1] if text is not None else body
    return is_exact(inner, 0, len(inner), "base64") and decode_base64(inner) == der


def _is_signature_of(der: bytes, content: bytes | None) -> bool:
    """Whether a SignedData has a signer, and each one signed the digest of this content; None: of its own."""
    signed = parse_signed(der)
    if form_fault(signed, detached=content is not None) is not None or not signed.signer_infos:
        return False
    covered = signed.content if content is None else content
    if covered is None:
        return False
    for info in signed.signer_infos:
        if info.digest_name not in _DIGESTS:
            return False
        digest = hashlib.new(info.digest_name, covered, usedforsecurity=False).digest()
        if attributes.single(info.attributes, attributes.MESSAGE_DIGEST) != build.octet_string(digest):
            return False
    return True
