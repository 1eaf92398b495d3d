"""How well the issuer says it has checked the holder: read from the certificate, a fact for the rules.

CA/Browser Forum S/MIME Baseline Requirements 7.1.6.1 (2.23.140.1.5.TYPE.GENERATION); ETSI EN 319 412-5 4.2.1
(QcCompliance in qcStatements, RFC 3739 3.2.6).
"""

from cryptography import x509

from gateway.cms.certificate import Certificate
from gateway.der.walk import children, decode_oid, read
from gateway.errors import GatewayError

_SMIME_BR = "2.23.140.1.5."
_TYPES = {"1": "mailbox", "2": "organization", "3": "sponsor", "4": "individual"}
_QC_STATEMENTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
_QC_COMPLIANCE = "0.4.0.1862.1.1"


def level_of(certificate: Certificate) -> tuple[str, ...]:
    """'mailbox' | 'organization' | 'sponsor' | 'individual', and 'qualified'; () where the issuer says nothing.

    Only worth something on a path that is believed.
    """
    found = []
    for policy in sorted(certificate.policies):
        if policy.startswith(_SMIME_BR):
            name = _TYPES.get(policy[len(_SMIME_BR):].partition(".")[0])
            if name and name not in found:
                found.append(name)
    if _qualified(certificate):
        found.append("qualified")
    return tuple(found)


def _qualified(certificate: Certificate) -> bool:
    try:
        value = certificate.x509.extensions.get_extension_for_oid(_QC_STATEMENTS).value
        if not isinstance(value, x509.UnrecognizedExtension):
            return False
        statements = value.value
        return any(decode_oid(statements, children(statements, statement)[0]) == _QC_COMPLIANCE
                   for statement in children(statements, read(statements)))
    except (x509.ExtensionNotFound, ValueError, IndexError, GatewayError):
        return False
