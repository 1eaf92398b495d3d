"""What every verb is, and the rooms from which it gets what it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """A signing key with what limits its use: From addresses (patterns) and clients."""

    signer: Signer
    from_addresses: tuple[str, ...]
    clients: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What verbs may reach for while they work on one group of one mail.

    `from_` and `client` are the mail's; `sender_is_ours` is of its reverse-path, False for the null path;
    `chosen`: the certificates selected for this group's recipients.
    """

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

    def apply(self, draft: Draft, params: Any, rooms: Rooms) -> Draft:
        """The draft with this verb's fields filled."""
        ...
