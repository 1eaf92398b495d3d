"""What a holder's smimeCapabilities (RFC 8551 2.5.2) say about what may be written to it."""

from gateway.der.walk import children, decode_oid, read
from gateway.errors import GatewayError

_AES_GCM = frozenset({"2.16.840.1.101.3.4.1.46", "2.16.840.1.101.3.4.1.6"})
_RSAES_OAEP = "1.2.840.113549.1.1.7"


def oids(capabilities: bytes | None) -> frozenset[str]:
    """The capability OIDs out of the DER SMIMECapabilities; empty where there are none or they are malformed."""
    if not capabilities:
        return frozenset()
    try:
        return frozenset(
            decode_oid(capabilities, children(capabilities, capability)[0])
            for capability in children(capabilities, read(capabilities))
        )
    except (GatewayError, IndexError):
        return frozenset()


def reads_gcm(capabilities: bytes | None) -> bool:
    """Whether the holder said that it reads AuthEnvelopedData with AES-GCM (RFC 5084)."""
    return bool(oids(capabilities) & _AES_GCM)


def reads_oaep(capabilities: bytes | None) -> bool:
    """Whether the holder said that it reads RSAES-OAEP (RFC 3560)."""
    return _RSAES_OAEP in oids(capabilities)
