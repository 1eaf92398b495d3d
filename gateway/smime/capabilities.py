"""What a holder's smimeCapabilities (RFC 8551 2.5.2) say about what may be written to it.

Only what the gateway itself writes is looked for: AES-256-GCM (RFC 5084) or AES-256-CBC (RFC 3565), and RSAES-OAEP
with SHA-256 (RFC 3560) or rsaEncryption. A capability counts with its parameters, and where a list names both of a
pair, the earlier one is the holder's preference. A list never asks for less than the gateway's own choice: who names
AES-128 alone gets AES-256-CBC, which everyone reads.
"""

from typing import Final

from gateway.cms import algorithms
from gateway.cms.algorithms import AlgorithmIdentifier, ContentCipher
from gateway.der import walk
from gateway.errors import GatewayError
from gateway.model.scheme import UnwrapScheme

CAPABILITIES_MAX: Final = 256  # in one list; the longest of the usual programs has under 20


def read(capabilities: bytes | None) -> tuple[AlgorithmIdentifier, ...]:
    """The capabilities out of DER SMIMECapabilities, in order; empty where there are none or they are malformed."""
    if not capabilities:
        return ()
    try:
        parts = walk.children(capabilities, walk.single(capabilities, walk.SEQUENCE), CAPABILITIES_MAX)
        return tuple(algorithms.read_identifier(capabilities, part) for part in parts)
    except GatewayError:
        return ()


def reads_gcm(capabilities: bytes | None) -> bool:
    """Whether the holder reads AES-256-GCM and does not prefer AES-256-CBC."""
    for one in read(capabilities):
        if one.oid in {ContentCipher.AES256_GCM.oid, ContentCipher.AES256_CBC.oid} and algorithms.no_parameters(one):
            return one.oid == ContentCipher.AES256_GCM.oid
    return False


def reads_oaep(capabilities: bytes | None) -> bool:
    """Whether the holder reads RSAES-OAEP with SHA-256 in both places and does not prefer PKCS#1 v1.5."""
    for one in read(capabilities):
        if one.oid == algorithms.RSA and algorithms.no_parameters(one):
            return False
        if one.oid == algorithms.RSA_OAEP and _oaep(one) is UnwrapScheme.RSA_OAEP_SHA256:
            return True
    return False


def _oaep(capability: AlgorithmIdentifier) -> UnwrapScheme | None:
    try:
        return algorithms.read_oaep(capability.parameters)
    except GatewayError:
        return None
