"""Which mail addresses the authorities of a path may speak for (RFC 5280 4.2.1.10, RFC 9598 6).

The path library enforces name constraints on the names it sees. It misses two addresses that the gateway takes as
identity: a SmtpUTF8Mailbox, and the subject's emailAddress where the alternative names hold no address but
something else. So the constraints are held here once more, over exactly the addresses that
`Certificate.emails` gives out; the anchor's own constraints count too (RFC 5937). They are compared as mailboxes are:
a domain in U-labels or in compatible letters is the one in A-labels (RFC 9598 6), and ASCII case does not count. Else
an authority could certify an excluded mailbox in another spelling.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509

from gateway.cms.certificate import Certificate
from gateway.model.mailbox import in_ascii


class MailConstraints(NamedTuple):
    """Of one authority. `permitted` None: it has none for addresses; (): it may speak for no address at all."""

    permitted: tuple[str, ...] | None
    excluded: tuple[str, ...]


def addresses_permitted(certificate: Certificate, issuers: Iterable[Certificate]) -> bool:
    """Whether every issuer's constraints allow every address of `certificate`.

    Raises ValueError where an issuer's extension cannot be read.
    """
    return all(_allowed(address, mail_constraints(issuer)) for issuer in issuers for address in certificate.emails)


def _allowed(address: str, constraints: MailConstraints) -> bool:
    if any(_within(address, tree) for tree in constraints.excluded):
        return False
    return constraints.permitted is None or any(_within(address, tree) for tree in constraints.permitted)


def _within(address: str, tree: str) -> bool:
    """RFC 5280 4.2.1.10: 'user@host' is one mailbox, 'host' all at that very host, '.domain' all at hosts below it."""
    local, at, host = in_ascii(address).rpartition("@")
    host = host.rstrip(".")
    tree_local, _, tree_host = in_ascii(tree if "@" in tree else f"@{tree}").rpartition("@")
    tree_host = tree_host.rstrip(".")
    if not at or not tree_host:
        return False
    if tree_local:
        return local == tree_local and host == tree_host
    if tree_host.startswith("."):
        return host.endswith(tree_host) and len(host) > len(tree_host)
    return host == tree_host


@lru_cache(maxsize=1024)
def mail_constraints(issuer: Certificate) -> MailConstraints:
    """What the authority's certificate says of rfc822Names. ValueError if its extension cannot be read."""
    try:
        value = issuer.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return MailConstraints(None, ())
    permitted = tuple(name.value for name in value.permitted_subtrees or () if isinstance(name, x509.RFC822Name))
    excluded = tuple(name.value for name in value.excluded_subtrees or () if isinstance(name, x509.RFC822Name))
    return MailConstraints(permitted or None, excluded)
