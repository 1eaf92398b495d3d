"""Tables: invitations, and what waits for a certificate. See tables.py for the conventions."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Table, Text

from gateway.adapters.db.tables.mail import metadata

# Held mail that leaves by itself when its one recipient has a certificate; gone when the mail is settled.
held_wait = Table(
    "held_wait", metadata,
    Column("hold_id", Text, ForeignKey("held.hold_id", ondelete="CASCADE"), primary_key=True),
    Column("address", Text, nullable=False, index=True),
    Column("way", Text, nullable=False),
    Column("want", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("looked_at", BigInteger),  # when nobody knew a certificate the last time
    Column("told_at", BigInteger),  # when the sender heard that it waits
    CheckConstraint("way IN ('hold', 'invite')", name="way"),
    CheckConstraint("want IN ('enrolled', 'any')", name="want"),
)

# Who had no certificate, by the rule that would have sealed and the way that was taken instead.
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
    CheckConstraint("way IN ('hold', 'invite', 'encrypted_pdf', 'plain_knowingly')", name="way"),
    CheckConstraint("want IN ('enrolled', 'any')", name="want"),
    sqlite_with_rowid=False,
)

invitation = Table(
    "invitation", metadata,
    Column("address", Text, primary_key=True),
    Column("begun_at", BigInteger, nullable=False),  # by whoever took it upon himself to send it
    Column("sent_at", BigInteger),
    sqlite_with_rowid=False,
)
