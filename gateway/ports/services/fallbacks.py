"""Who had no certificate when mail was to be sealed: what waits for one, who was invited, and who has one since.

Addresses are folded. All times are aware.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.model.decision import Way
from gateway.model.lookup import Want


@dataclass(frozen=True, slots=True)
class Waits:
    """A mail in the hold store that leaves by itself when this address has a certificate of the kind wanted."""

    address: str
    way: Way
    want: Want


@dataclass(frozen=True, slots=True)
class Fallen:
    """One recipient of one mail for whom a weaker way was taken. `rule` is FILE:NAME."""

    address: str
    rule: str
    way: Way
    want: Want


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """`told_at`: when the sender heard that it waits; None: not yet. `size` in octets."""

    hold_id: str
    waits: Waits
    since: datetime
    rule: str
    size: int
    incident: str
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Without:
    """Somebody who had no certificate, the last time anybody looked."""

    address: str
    want: Want


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one rule and way. `people`: addresses; `converted`: those of them that have a certificate since.

    `mails`: recipients of mails, each once for every mail; `invited`: people who had an invitation.
    """

    rule: str
    way: Way
    people: int
    mails: int
    converted: int
    invited: int
    first_at: datetime
    last_at: datetime


class FallbackBook(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot tell."""

    def fell(self, fallen: Iterable[Fallen], at: datetime) -> None:
        """Counts them; those who get their mail in clear perhaps some seconds later, many together."""
        ...

    def flush(self) -> None:
        """What was counted and not written yet is written."""
        ...

    def forget(self, before: datetime) -> None:
        """Who has not been without a certificate since then, and who was not invited since then."""
        ...

    def waiting(self, limit: int) -> tuple[WaitingMail, ...]:
        """What waits for a certificate: first what nobody looked at for longest."""
        ...

    def looked(self, hold_ids: Iterable[str], at: datetime) -> None:
        """There was no certificate yet."""
        ...

    def told(self, hold_id: str, at: datetime) -> None:
        """The sender heard that his mail waits."""
        ...

    def due(self, *, look_before: datetime, tell_before: datetime | None, give_up_before: datetime,
            invite_before: datetime | None, ask_before: datetime) -> bool:
        """Whether anything may be to do: somebody has a certificate that was not looked at, or a time has come.

        `look_before`: what waits and was looked at earlier is looked at again; `tell_before`: senders of older mail
        hear of it, None: nobody does; `invite_before`: who had no invitation since then gets one, None: nobody does;
        `ask_before`: see `without`.
        """
        ...

    def without(self, looked_before: datetime, limit: int) -> tuple[Without, ...]:
        """People who may have a certificate now: the store knows one, or nobody looked since then."""
        ...

    def seen(self, address: str, *, found: bool, at: datetime) -> None:
        """What a look for this person's certificate came to."""
        ...

    def may_invite(self, address: str, at: datetime, *, not_since: datetime) -> bool:
        """Takes it upon us to invite this person, unless that was done since then, or somebody is just doing it."""
        ...

    def invited(self, address: str, at: datetime) -> None:
        """The invitation is on its way."""
        ...

    def figures(self) -> tuple[Figures, ...]:
        """By rule and way."""
        ...
