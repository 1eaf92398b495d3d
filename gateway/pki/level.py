"""How well a signer is known: a set of words for the rules, each from a source that may state it.

- mailbox, organisation, sponsor, individual: the CA/B Forum's S/MIME policies 2.23.140.1.5.{1..4}.{1..3} (Baseline
  Requirements 7.1.6.1), or policies of the authority's own that its mark translates
- qualified: QcCompliance in qcStatements (ETSI EN 319 412-5 4.2.1)
- hardware: a policy that the mark names for it, or QcSSCD (4.2.2) where the mark believes it; or the bank itself has
  registered the key as living in a token or bound to a device
- bank_enrolled: the bank has bound this very certificate to one of its customers; never because of a name in it
- dotted OIDs: all other policies of the certificate, for banks and partners that have policies of their own

What a certificate says counts only below a root that is marked for it (`trust.Mark`), and only if the policy survives
the policy processing of the path (RFC 5280 6.1, `pki.path.rfc5280`): an authority between that does not assert it, nor
any policy, takes it away. The bank's own word on a single certificate replaces the path, so that nothing of what the
certificate says counts then.
"""

from typing import Final

from cryptography import x509

from gateway.cms.certificate import Certificate
from gateway.der.walk import children, decode_oid, read
from gateway.errors import GatewayError
from gateway.model.lookup import CertificateRow
from gateway.pki.path.rfc5280 import ANY_POLICY
from gateway.pki.path.validation import PathVerdict
from gateway.pki.trust import Mark, TrustSet

WORDS: Final = ("mailbox", "organisation", "sponsor", "individual", "qualified", "bank_enrolled", "hardware")

OWN_POLICIES_MAX: Final = 16  # reported; honest certificates state one to four

_SMIME_BR: Final = "2.23.140.1.5."
_TYPES: Final = {"1": "mailbox", "2": "organisation", "3": "sponsor", "4": "individual"}
_GENERATIONS: Final = frozenset({"1", "2", "3"})  # legacy, multipurpose, strict
_QC_STATEMENTS: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
_QC_COMPLIANCE: Final = "0.4.0.1862.1.1"
_QC_SSCD: Final = "0.4.0.1862.1.4"


def level_of(certificate: Certificate, path: PathVerdict, trust: TrustSet,
             row: CertificateRow | None = None) -> tuple[str, ...]:
    """The set, in the order of WORDS, then dotted OIDs. () unless `path` is valid.

    `row`: the bank's own registration of this very certificate, if there is one.
    """
    if not path.valid:
        return ()
    found: set[str] = set()
    own: set[str] = set()
    mark = trust.marks.get(path.anchor.certificate.sha256) if path.anchor is not None else None
    if mark is not None:
        found, own = _marked(certificate, path.policies, mark)
    if row is not None and row.customer is not None:
        found.add("bank_enrolled")
        if row.device_bound or row.key_origin == "token":
            found.add("hardware")
    return (*(word for word in WORDS if word in found), *sorted(own)[:OWN_POLICIES_MAX])


def _marked(certificate: Certificate, policies: frozenset[str], mark: Mark) -> tuple[set[str], set[str]]:
    """Words and further policies that a marked root's certificate says."""
    found: set[str] = set()
    own: set[str] = set()
    for policy in policies - {ANY_POLICY}:
        word = smime_level(policy)
        if word is None:
            own.add(policy)
        elif word in mark.levels:
            found.add(word)
        if policy in mark.policies:
            found.add(mark.policies[policy])
        if policy in mark.hardware_policies:
            found.add("hardware")
    statements = qc_statements(certificate)
    if "qualified" in mark.levels and _QC_COMPLIANCE in statements:
        found.add("qualified")
    if mark.qcsscd and _QC_SSCD in statements:
        found.add("hardware")
    return found, own


def smime_level(policy: str) -> str | None:
    """The word of one of the CA/B Forum's S/MIME policies; None for every other policy."""
    if not policy.startswith(_SMIME_BR):
        return None
    kind, _, generation = policy[len(_SMIME_BR):].partition(".")
    return _TYPES.get(kind) if generation in _GENERATIONS else None


def qc_statements(certificate: Certificate) -> frozenset[str]:
    """The OIDs of the statements in qcStatements (RFC 3739 3.2.6); empty where there are none or none can be read."""
    try:
        value = certificate.x509.extensions.get_extension_for_oid(_QC_STATEMENTS).value
        if not isinstance(value, x509.UnrecognizedExtension):
            return frozenset()
        octets = value.value
        return frozenset(decode_oid(octets, children(octets, statement)[0])
                         for statement in children(octets, read(octets)))
    except (x509.ExtensionNotFound, ValueError, IndexError, GatewayError):
        return frozenset()
