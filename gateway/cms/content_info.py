"""The ContentInfo around a CMS object (RFC 5652 3), in the form that nearly all of up to 64 KiB have.

Two signatures or envelopes differ in three lengths of their first 19 or 21 octets: one unpacking and six comparisons
find the object inside, for a third of what a walk over the same elements costs.
"""

from struct import Struct
from typing import Final

from gateway.der import walk
from gateway.der.walk import Tlv

# SEQUENCE, its length in two octets, the type's OID, [0], length, SEQUENCE, length
_FORMS: Final = {oid_octets: Struct(f">HH{oid_octets + 2}sHHHH") for oid_octets in (9, 11)}


def usual(octets: bytes) -> tuple[bytes, Tlv] | None:
    """DER of the content type and the SEQUENCE inside, where they fill `octets` in strict DER; None: walk and see."""
    size = len(octets)
    form = _FORMS.get(octets[5]) if size > 300 else None
    if form is None:
        return None
    outer, length, kind, explicit, explicit_length, inner, inner_length = form.unpack_from(octets)
    start = form.size - 4
    if (outer != 0x3082 or length != size - 4 or kind[0] != walk.OID or explicit != 0xA082
            or explicit_length != size - start or inner != 0x3082 or inner_length != size - form.size):
        return None
    return (kind, Tlv(walk.SEQUENCE, start, form.size, size)) if inner_length > 0xFF else None
