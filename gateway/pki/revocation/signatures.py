"""The signature of a list or an answer about revocations, by the gateway's one table of algorithms."""

from datetime import datetime

from gateway.cms import algorithms
from gateway.cms.algorithms import AlgorithmIdentifier
from gateway.cms.certificate import Certificate
from gateway.cms.signed_reader import arithmetic_fault, public_key
from gateway.errors import GatewayError, Reason


def check_algorithm(identifier: AlgorithmIdentifier, at: datetime) -> None:
    """GatewayError REVOCATION_WEAK_ALGORITHM (SHA-1, MD5, …), REVOCATION_MALFORMED for one that is unknown here."""
    algorithm = algorithms.signature_algorithm(identifier)
    if algorithms.allowed("certificate", algorithm.name, at) is Reason.CERTIFICATE_WEAK_ALGORITHM:
        raise GatewayError(Reason.REVOCATION_WEAK_ALGORITHM, f"signed with {algorithm.name}")
    if algorithm.scheme is None:
        raise GatewayError(Reason.REVOCATION_MALFORMED, f"signed with {algorithm.name}, which is unknown here")


def signed_by_key(identifier: AlgorithmIdentifier, signature: bytes, octets: bytes, signer: Certificate) -> bool:
    """Whether the key of `signer` made this signature. Its path and its strength are judged elsewhere."""
    algorithm = algorithms.signature_algorithm(identifier)
    key = public_key(signer.spki)
    return (algorithm.scheme is not None and key is not None
            and arithmetic_fault(key, algorithm, signature, octets) is None)
