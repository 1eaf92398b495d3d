"""What the rules may ask about: facts of the message, and facts of one recipient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.model.lookup import CertificateAnswer, Unavailable
from gateway.model.mail import Direction
from gateway.model.verdict import Verdicts

Kind = Literal["normal", "calendar", "dsn", "mdn", "auto_reply", "list", "forward"]
Already = Literal["signed", "encrypted"]
NoFrom = Literal["none", "ambiguous"]


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A fact that costs a look-up and has not been needed yet."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the message: the same for all of its recipients.

    `from_` is the one mailbox address of header From. Where there is not exactly one, it is None, and `no_from` says
    why: 'none' for no From or an empty one, 'ambiguous' for several addresses or a text that is no address.
    `headers`: lower-case field name to its decoded values, in order. `size` in octets.
    `keywords`: bracketed words at the start or end of any Subject, folded, without brackets and unseen letters.
    `verdicts` is None for mail that was not opened (outbound).
    `authentication`: method to result out of trusted Authentication-Results, e.g. {'dmarc': 'pass'}.
    """

    client: str | None
    sender: str
    from_: str | None
    subject: str
    size: int
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: Kind = "normal"
    already: frozenset[Already] = frozenset()
    keywords: frozenset[str] = frozenset()
    spoofs_us: bool = False
    verdicts: Verdicts | None = None
    authentication: Mapping[str, str] = field(default_factory=dict)
    no_from: NoFrom | None = None


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """Of one recipient. What costs a look-up is asked for only when a rule needs it.

    `spellings`: further ones of an address with an internationalised domain; rules may have any of them.
    `certificate` is the answer over all sources, `enrolled` that of the store for certificates bound to a customer.
    `signer_customer`: number of the customer to whom the mail's verified signer is bound (inbound), None if unknown.
    """

    address: str
    direction: Direction
    certificate: CertificateAnswer | NotAsked = NotAsked()
    enrolled: CertificateAnswer | NotAsked = NotAsked()
    segment: str | None | Unavailable | NotAsked = NotAsked()
    signer_customer: str | None | Unavailable | NotAsked = NotAsked()
    spellings: tuple[str, ...] = ()
