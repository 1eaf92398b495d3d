"""Tables: mail held for a certificate, uses of the fallbacks, invitations. See tables/mail.py for the conventions."""

from collections.abc import Iterable

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Table, Text

from gateway.adapters.db.tables.mail import metadata
from gateway.model.fallbacks import FALLBACKS


def _one_of(fallbacks: Iterable[str]) -> str:
    """A new fallback needs a migration that widens the constraint of a database that exists."""
    return f"way IN ({', '.join(repr(one) for one in fallbacks)})"


# Held mail that is sent when its one recipient has a certificate; the row is deleted when the mail is settled.
held_wait = Table(
    "held_wait", metadata,
    Column("hold_id", Text, ForeignKey("held.hold_id", ondelete="CASCADE"), primary_key=True),
    Column("address", Text, nullable=False, index=True),
    Column("way", Text, nullable=False),
    Column("want", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("looked_at", BigInteger),  # when the last look-up found no certificate
    Column("told_at", BigInteger),  # when the sender was notified that it is held
    CheckConstraint(_one_of(one.name for one in FALLBACKS.values() if one.held), name="way"),
    CheckConstraint("want IN ('enrolled', 'any')", name="want"),
)

# Who had no certificate, by the rule that would have sealed and the fallback that was applied.
fallback = Table(
    "fallback", metadata,
    Column("address", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("way", Text, primary_key=True),
    Column("want", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("looked_at", BigInteger, nullable=False),
    Column("found_at", BigInteger),  # when a certificate was known
    CheckConstraint(_one_of(FALLBACKS), name="way"),
    CheckConstraint("want IN ('enrolled', 'any')", name="want"),
    sqlite_with_rowid=False,
)

invitation = Table(
    "invitation", metadata,
    Column("address", Text, primary_key=True),
    Column("begun_at", BigInteger, nullable=False),  # by the process that sends it
    Column("sent_at", BigInteger),
    sqlite_with_rowid=False,
)
