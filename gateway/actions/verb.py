"""What every verb is, and the context from which it gets what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from gateway.cms.certificate import Certificate
from gateway.model.lookup import CertificateRow
from gateway.model.mail import Direction
from gateway.ports.stampers import TimeStamper
from gateway.smime.draft import Draft, Signer

OUTWARD = frozenset({Direction.OUTBOUND, Direction.INTERNAL})
INWARD = frozenset({Direction.INBOUND})


class Params(BaseModel):
    """Parameters of a verb: unknown ones are errors, values never change; equal parameters make one group."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class KeySet:
    """A signing key with what limits its use: From addresses (patterns) and clients.

    `others`: further generations of the key, older and coming ones, and any of them again with another certificate
    to announce to recipients.
    """

    signer: Signer
    from_addresses: tuple[str, ...]
    clients: frozenset[str]
    others: tuple[Signer, ...] = ()

    def signer_at(self, at: datetime) -> Signer:
        """Who signs at this time: of the certificates that are valid then, the one that ends last.

        If none is valid, the newest: a verifier of the signature reports it, and so does the log at the start. The
        certificate that recipients encrypt to is chosen among those of this signer by the same rule.
        """
        if not self.others:
            return self.signer
        generations = (self.signer, *self.others)
        chosen = max((one.certificate for one in generations), key=_preference(at))
        own = [one for one in generations if one.certificate == chosen]
        prefers = _preference(at)
        return max(own, key=lambda one: _encryption_rank(one, prefers))


def _preference(at: datetime) -> Callable[[Certificate], tuple[bool, datetime, datetime]]:
    """Valid ones before others; of these the one that ends last, of those the newest."""
    def rank(certificate: Certificate) -> tuple[bool, datetime, datetime]:
        begins, ends = certificate.not_before, certificate.not_after
        valid = begins <= at <= ends
        return (valid, ends, begins) if valid else (valid, begins, ends)

    return rank


def _encryption_rank(signer: Signer, rank: Callable[[Certificate], tuple[bool, datetime, datetime]]) -> tuple[Any, ...]:
    certificate = signer.prepared.profile.encryption_certificate
    return () if certificate is None else rank(certificate)


@dataclass(frozen=True, slots=True)
class VerbContext:
    """What verbs may reach for while they work on one group of one mail.

    `at`: now; of a key set the generation of this time signs. `from_` and `client` are the mail's; `sender_is_ours`
    is of its reverse-path, False for the null path; `chosen`: the certificates selected for this group's recipients.
    """

    at: datetime
    key_sets: Mapping[str, KeySet] = field(default_factory=dict)
    stampers: Mapping[str, TimeStamper] = field(default_factory=dict)
    escrow: Mapping[str, Certificate] = field(default_factory=dict)
    from_: str | None = None
    sender_is_ours: bool = False
    client: str | None = None
    client_is_ours: bool = False
    chosen: tuple[CertificateRow, ...] = ()


class Verb(Protocol):
    """One word of the policy language. `rank` fixes the order in which verbs are carried out.

    `apply` gets its own `params` model; GatewayError if the verb may not or cannot be done.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    params: ClassVar[type[BaseModel]]
    directions: ClassVar[frozenset[Direction]]
    summary: ClassVar[str]

    def apply(self, draft: Draft, params: Any, context: VerbContext) -> Draft:
        """The draft with this verb's fields filled."""
        ...
