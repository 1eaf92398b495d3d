"""The dependencies of both ways through the pipeline, in one frozen value; the composition root builds it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, Self

from gateway.actions.verb import KeySet
from gateway.clock import Clock
from gateway.cms.certificate import Certificate
from gateway.cms.content_keys import ContentKeys
from gateway.cms.enveloped_reader import RecipientKey
from gateway.letters.write import Writer
from gateway.model.lookup import CertificateAnswer, Want
from gateway.model.mailbox import address_matches, in_domains
from gateway.pipeline.inbound.harvest import Learning
from gateway.pipeline.inbound.service import MailService
from gateway.pipeline.inbound.trust_card import CardIssuer
from gateway.pipeline.outbound.tenant import Proof
from gateway.pki.judge import Judge
from gateway.policy.ruleset import RuleSet
from gateway.ports.authorities import UnknownAuthorities
from gateway.ports.customers import Customers
from gateway.ports.evidence import Evidence
from gateway.ports.hold import Hold
from gateway.ports.journal import Journal
from gateway.ports.next_hop import NextHop
from gateway.ports.services.fallbacks import FallbackBook
from gateway.ports.stampers import TimeStamper
from gateway.smime.layers import OpenLimits
from gateway.smime.open import DEFAULT_OPEN_LIMITS


def nowhere(point: str) -> None:
    """The default of `Context.reach`: nothing happens at the named points."""
    del point


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the bank is. `name`: as people read it in mails."""

    name: str
    domains: frozenset[str]
    hostname: str
    authserv_id: str
    trusted_authserv_ids: tuple[str, ...]
    postmaster: str

    def owns(self, address: str) -> bool:
        """Whether the address is in one of the bank's mail domains."""
        return in_domains(address, self.domains)


@dataclass(frozen=True, slots=True)
class Opener:
    """A decryption key and the envelope recipients (patterns) whose mail it opens."""

    key: RecipientKey
    recipients: tuple[str, ...]

    def opens_for(self, address: str) -> bool:
        """Only keys assigned to the envelope's recipient are tried."""
        return any(address_matches(pattern, address) for pattern in self.recipients)


@dataclass(frozen=True, slots=True)
class Original:
    """A mail and its one recipient. `octets` as it would be signed; `key`: the message key."""

    octets: bytes
    key: str
    address: str


class Conversion(Protocol):
    """A fallback with `encrypts` in the table; the mail that it makes is signed and sent. Thread-safe."""

    def convert(self, original: Original, at: datetime) -> bytes:
        """The mail that is sent in the place of the original. GatewayError if it cannot be made."""
        ...

    def dry_run(self) -> Self:
        """The same conversion without any effect outside of the gateway."""
        ...

    def close(self) -> None:
        """Ends idle connections and processes; a conversion in work is finished."""
        ...


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """`language`: of the letters. `conversions`: by the fallback's name, those that are configured."""

    book: FallbackBook
    letters: Writer
    language: str
    conversions: Mapping[str, Conversion]


@dataclass(frozen=True, slots=True)
class Context:
    """`select` answers which certificates an address has; with `enrolled` out of the store alone.

    `content_keys`: the process's memory of them, so that none serves two ciphers.
    `client_from`: client name to the patterns of From addresses it may use. `reach` is called at the named
    points of a delivery (before-dot, after-250, before-commit, after-commit); tests end the process there.
    `peer_is_trusted`: whether results of filters in front count, by the peer's address. `authorities`: where unknown
    ones that mail shows are noted; None: nowhere. `learning`: what delivered mail teaches; None: nothing.
    `trial`: in `mode: observe` makes a context that has no effect outside but its evidence (see `observe`); None: live.
    `proofs`: client name to what its mail must contain besides, where others share its networks (see `tenant`).
    `opening`: bounds of opening a mail, and the weak ciphers that are opened.
    `notices`: the gateway's own mails to senders and readers, in the language of the bank.
    `services`: by their names in the rules (`end: {hand_to: NAME}`), the services that act on inbound mail.
    """

    identity: Identity
    clock: Clock
    rules: Callable[[], RuleSet]
    select: Callable[[str, Want], CertificateAnswer]
    judge: Judge
    openers: tuple[Opener, ...]
    key_sets: Mapping[str, KeySet]
    stampers: Mapping[str, TimeStamper]
    escrow: Mapping[str, Certificate]
    client_from: Mapping[str, tuple[str, ...]]
    customers: Customers
    journal: Journal
    hold: Hold
    fallbacks: Fallbacks
    notices: Writer
    evidence: Evidence
    outbound_hop: NextHop
    inbound_hop: NextHop
    content_keys: ContentKeys
    card: CardIssuer | None = None
    partial: Literal["refuse_all", "deliver_rest"] = "refuse_all"
    peer_is_trusted: Callable[[str, str], bool] = field(default=lambda listener, peer: False)  # noqa: ARG005
    reach: Callable[[str], None] = nowhere
    authorities: UnknownAuthorities | None = None
    learning: Learning | None = None
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    services: Mapping[str, MailService] = field(default_factory=dict)
    opening: OpenLimits = DEFAULT_OPEN_LIMITS
    trial: Callable[["Context", Evidence], "Context"] | None = None
