"""Who had no certificate when mail was to be sealed: the mail held for them, invitations, and who has one since.

Addresses are folded. All times are aware.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.model.fallbacks import FallbackName
from gateway.model.lookup import Want


@dataclass(frozen=True, slots=True)
class CertificateWait:
    """Why a mail is held: it is sent automatically when this address has a certificate of the kind `want`."""

    address: str
    way: FallbackName
    want: Want


@dataclass(frozen=True, slots=True)
class FallbackUse:
    """One recipient of one mail to whom a fallback was applied. `rule` is FILE:NAME."""

    address: str
    rule: str
    way: FallbackName
    want: Want


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """`notified_at`: when the sender was notified that it is held; None: not yet. `size` in octets."""

    hold_id: str
    wait: CertificateWait
    since: datetime
    rule: str
    size: int
    incident: str
    notified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A person who had no certificate at the last look-up."""

    address: str
    want: Want


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one rule and fallback (`way`). `people`: addresses; `converted`: those of them that have a certificate since.

    `mails`: recipients of mails, each once for every mail; `invited`: people who got an invitation.
    """

    rule: str
    way: FallbackName
    people: int
    mails: int
    converted: int
    invited: int
    first_at: datetime
    last_at: datetime


class FallbackBook(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method if the store does not answer."""

    def add(self, uses: Iterable[FallbackUse], at: datetime) -> None:
        """Counts them. Fallbacks that send mail in clear are frequent: their counts may be written seconds later."""
        ...

    def flush(self) -> None:
        """Writes what is counted and not written yet."""
        ...

    def forget(self, before: datetime) -> None:
        """Deletes people to whom a fallback was last applied before then, and invitations sent before then."""
        ...

    def waiting(self, limit: int) -> tuple[WaitingMail, ...]:
        """Mail that is held for a certificate; first the mail that was examined longest ago."""
        ...

    def mark_examined(self, hold_ids: Iterable[str], at: datetime) -> None:
        """There was no certificate yet."""
        ...

    def mark_notified(self, hold_id: str, at: datetime) -> None:
        """The sender was notified that the mail is held."""
        ...

    def due(self, *, examine_before: datetime, notify_before: datetime | None, return_before: datetime,
            invite_before: datetime | None, ask_before: datetime) -> bool:
        """Whether there may be something to do: a certificate was added since a mail was examined, or a time has come.

        `examine_before`: mail that was examined earlier is examined again; `notify_before`: senders of older mail are
        notified, None: none is; `return_before`: older mail is returned; `invite_before`: people without an invitation
        since then are invited, None: none is; `ask_before`: see `people`.
        """
        ...

    def people(self, asked_before: datetime, limit: int) -> tuple[Person, ...]:
        """People who may have a certificate now: one is in the store, or there was no look-up since then."""
        ...

    def mark_person(self, address: str, *, found: bool, at: datetime) -> None:
        """The result of a look-up of this person's certificate."""
        ...

    def begin_invitation(self, address: str, at: datetime, *, not_since: datetime) -> bool:
        """Claims the invitation of this person; False if one was sent since then, or another process has the claim."""
        ...

    def mark_invited(self, address: str, at: datetime) -> None:
        """The invitation was sent."""
        ...

    def figures(self) -> tuple[Figures, ...]:
        """By rule and fallback."""
        ...
