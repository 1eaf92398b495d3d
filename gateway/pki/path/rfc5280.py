"""One way from a certificate to an anchor by the book: RFC 5280 6.1, by pyhanko-certvalidator.

Path length, key usage, the policy graph (RFC 9618), all kinds of names under constraints, critical extensions.
Validity is looked at once more, and signatures, over the very octets (`pki.path.issuers`); revocation never
(`pki.revocation.verdict`), strength neither: the gateway's own table was asked before.

The library is asynchronous inside. It gets all data in hand and no fetcher, so one `send(None)` runs it to its end; a
suspension would be an internal error.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from asn1crypto import x509 as asn1_x509
from asn1crypto.algos import SignedDigestAlgorithm
from asn1crypto.keys import PublicKeyInfo
from cryptography.exceptions import InvalidSignature
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    NotYetValidError,
    PathError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    AcceptAllAlgorithms,
    CertRevTrustPolicy,
    PKIXValidationParams,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)
from pyhanko_certvalidator.registry import CertificateRegistry, SimpleTrustManager
from pyhanko_certvalidator.sig_validate import (
    DEFAULT_VALIDATION_CONTEXT,
    SignatureValidationContext,
    SignatureValidator,
)
from pyhanko_certvalidator.validate import SUPPORTED_EXTENSIONS, async_validate_path

from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.asn1 import READING
from gateway.pki.path.issuers import as_asn1, signed_by

ANY_POLICY: Final = "2.5.29.32.0"
POLICY_NODES_MAX: Final = 1024  # CVE-2023-0464: policy trees of hostile paths grow exponentially

_LIBRARY_ANY: Final = "any_policy"  # how the library spells anyPolicy
_NO_POLICY_LEFT: Final = "no valid set of policies"  # the library distinguishes this failure only by its text
_NO_REVOCATION: Final = CertRevTrustPolicy(RevocationCheckingPolicy(
    ee_certificate_rule=RevocationCheckingRule.NO_CHECK, intermediate_ca_cert_rule=RevocationCheckingRule.NO_CHECK))


@dataclass(frozen=True, slots=True)
class PolicyInputs:
    """What the asker wants of certificate policies (RFC 5280 6.1.1 c, e, f, g). The default asks for nothing.

    `acceptable`: dotted OIDs in the anchor's domain, None: any will do. `explicit`: one of them must survive.
    """

    acceptable: frozenset[str] | None = None
    explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False


ANY: Final = PolicyInputs()


def walk(path: Sequence[Certificate], at: datetime, inputs: PolicyInputs = ANY, *,
         authority: bool = False) -> frozenset[str] | Reason:
    """The policies that survive all along `path` (certificate first, anchor last), or why the path does not hold.

    The policies are dotted OIDs in the domain of the anchor, `ANY_POLICY` among them where the certificate itself
    claims any. `authority`: the first certificate is an issuer, so it is not the final one of RFC 5280 6.1: name
    constraints and inhibitAnyPolicy do not apply to it where it is self-issued.
    PATH_POLICY: none is left though one is required; PATH_CONSTRAINT for everything else but expiry.
    """
    try:
        with READING:
            while authority and len(path) > 1 and path[0].self_issued:
                if as_asn1(path[0]).critical_extensions - SUPPORTED_EXTENSIONS:
                    return Reason.PATH_CONSTRAINT
                # The library treats its first certificate as the final one. This one is the same authority as the
                # next, under another key: `pki.path.validation` has checked its validity, strength and signature.
                path = path[1:]
            return _walk(path, at, inputs) if len(path) > 1 else path[0].policies
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, RecursionError,
            NotImplementedError):
        # The library answers certificates that it cannot process in all of these ways.
        return Reason.PATH_CONSTRAINT


class _Signatures(SignatureValidator):
    """Those of one path, verified over the octets of its certificates and not over what the library makes of them."""

    def __init__(self, path: Sequence[Certificate]) -> None:
        self._signers = {child.x509.signature: (child, issuer) for child, issuer in pairwise(path)}

    def validate_signature(self, signature: bytes, signed_data: bytes, public_key_info: PublicKeyInfo,
                           signature_algorithm: SignedDigestAlgorithm,
                           context: SignatureValidationContext = DEFAULT_VALIDATION_CONTEXT) -> None:
        """See SignatureValidator."""
        del signed_data, public_key_info, signature_algorithm, context
        if not signed_by(*self._signers[signature]):
            raise InvalidSignature


def _walk(path: Sequence[Certificate], at: datetime, inputs: PolicyInputs) -> frozenset[str] | Reason:
    chain = [as_asn1(certificate) for certificate in path]
    anchor, trusting = _anchored(path[-1])
    context = ValidationContext(
        trust_manager=trusting, moment=at, allow_fetching=False, revinfo_policy=_NO_REVOCATION,
        algorithm_usage_policy=AcceptAllAlgorithms(), certificate_registry=CertificateRegistry(),
        signature_validator=_Signatures(path))
    parameters = PKIXValidationParams(
        user_initial_policy_set=frozenset({_LIBRARY_ANY} if inputs.acceptable is None else inputs.acceptable),
        initial_explicit_policy=inputs.explicit, initial_policy_mapping_inhibit=inputs.inhibit_mapping,
        initial_any_policy_inhibit=inputs.inhibit_any, max_policy_graph_nodes=POLICY_NODES_MAX)
    found = ValidationPath(anchor, chain[-2:0:-1], chain[0])
    try:
        _run(async_validate_path(context, found, parameters))
    except (ExpiredError, NotYetValidError):
        return Reason.PATH_EXPIRED
    except DisallowedAlgorithmError:
        return Reason.CERTIFICATE_WEAK_ALGORITHM
    except (ValidationError, PathError) as error:
        return Reason.PATH_POLICY if _NO_POLICY_LEFT in str(error) else Reason.PATH_CONSTRAINT
    names = {str(policy.user_domain_policy_id) for policy in found.qualified_policies() or ()}
    return frozenset(ANY_POLICY if name == _LIBRARY_ANY else name for name in names)


@lru_cache(maxsize=256)
def _anchored(root: Certificate) -> tuple[CertTrustAnchor, SimpleTrustManager]:
    """The library's interface of an anchor. The library gets the path: it builds none, and needs no registry."""
    anchor = CertTrustAnchor(as_asn1(root))
    return anchor, SimpleTrustManager.build(trust_roots=[anchor])


def _run(coroutine: Coroutine[Any, Any, asn1_x509.Certificate]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    finally:
        coroutine.close()
    raise GatewayError(Reason.INTERNAL, "path validation wanted to wait for something")
