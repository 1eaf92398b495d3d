"""Which certificate a signer wants to be answered with: the encryption key preference, read.

RFC 8551 2.5.3 (SMIMEEncryptionKeyPreference; its tags are implicit), and Microsoft's attribute of the same meaning.
Writing it is `cms.attributes`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.cms import attributes, names
from gateway.cms.attributes import ENCRYPTION_KEY_PREFERENCE, MS_ENCRYPTION_KEY_PREFERENCE, Attribute
from gateway.cms.certificate import Certificate
from gateway.der import walk
from gateway.der.walk import DerMalformed, Tlv

_ISSUER_AND_SERIAL: Final = 0xA0
_RECIPIENT_KEY_ID: Final = 0xA1
_SUBJECT_KEY_ID: Final = 0x82


def is_named(found: Iterable[Attribute]) -> bool:
    """Whether the signed attributes say anything of it at all."""
    return any(one.oid in (ENCRYPTION_KEY_PREFERENCE, MS_ENCRYPTION_KEY_PREFERENCE) for one in found)


def preferred(found: Sequence[Attribute], enclosed: Iterable[Certificate]) -> Certificate | None:
    """The one enclosed certificate that the signed attributes name; None if none or several fit.

    DerMalformed for what cannot be read. What is enclosed is not signed: only the name is the signer's word.
    """
    named = _named(found)
    if named is None:
        return None
    issuer, serial, ski = named
    fitting = [one for one in dict.fromkeys(enclosed)
               if (one.ski == ski if ski is not None else one.serial == serial and names.same(one.issuer_der, issuer))]
    return fitting[0] if len(fitting) == 1 else None


def _named(found: Sequence[Attribute]) -> tuple[bytes | None, int | None, bytes | None] | None:
    """Issuer and serial number, or key identifier."""
    value = attributes.single(found, ENCRYPTION_KEY_PREFERENCE)
    if value is not None:
        return _choice(value)
    value = attributes.single(found, MS_ENCRYPTION_KEY_PREFERENCE)
    return None if value is None else (*_issuer_and_serial(value, walk.single(value, walk.SEQUENCE)), None)


def _choice(value: bytes) -> tuple[bytes | None, int | None, bytes | None]:
    top = walk.single(value)
    if top.tag == _ISSUER_AND_SERIAL:
        return (*_issuer_and_serial(value, top), None)
    if top.tag == _RECIPIENT_KEY_ID:
        parts = walk.children(value, top)  # the identifier, then a date and other attributes
        if not parts:
            raise DerMalformed("a recipient key identifier without its key")
        return None, None, walk.content(value, walk.expect(parts[0], walk.OCTET_STRING))
    if top.tag == _SUBJECT_KEY_ID:
        return None, None, walk.content(value, top)
    raise DerMalformed("an encryption key preference of no known form")


def _issuer_and_serial(value: bytes, tlv: Tlv) -> tuple[bytes, int]:
    parts = walk.children(value, tlv)
    if len(parts) != 2:
        raise DerMalformed("an issuer and serial number of other than two parts")
    return walk.whole(value, walk.expect(parts[0], walk.SEQUENCE)), walk.decode_integer(value, parts[1])
