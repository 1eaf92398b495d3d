"""Tables: the audit log and the policy sets. See tables/mail.py for the conventions.

Triggers (migration 0010) refuse every change of `audit`, `audit_head` and `policy_set`, and every record of `audit`
whose number is not the next one.
"""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, Table, Text

from gateway.adapters.db.tables.mail import metadata

# What people and clients did. `octets` is the record (model.audit.packed); the other columns repeat parts of it, so
# that it can be searched. `number` is given under a lock, never by the database.
audit = Table(
    "audit", metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("act", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text, nullable=False),  # '' of a user
    Column("object_id", Text, nullable=False, index=True),  # '' where it is a personal value
    Column("octets", LargeBinary, nullable=False),
    CheckConstraint("result IN ('begun', 'done', 'failed')", name="result"),
    CheckConstraint("actor_kind IN ('user', 'client', 'program')", name="actor_kind"),
)

# Personal values of records: the only table of the audit log from which rows are deleted (retention, erasure).
audit_value = Table(
    "audit_value", metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("field", Text, primary_key=True),
    Column("value", Text, nullable=False, index=True),
    Column("salt", Text, nullable=False),
)

# Signed heads of the log (C2SP checkpoints). The key that signs them is not in the database.
audit_head = Table(
    "audit_head", metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

# The texts of every policy set that was in force, so that the set of any past moment can be shown.
policy_set = Table(
    "policy_set", metadata,
    Column("digest", Text, primary_key=True),
    Column("first_at", BigInteger, nullable=False),
    Column("texts", Text, nullable=False),  # JSON: list of name and text
)

APPEND_ONLY: Final = (audit, audit_head, policy_set)
