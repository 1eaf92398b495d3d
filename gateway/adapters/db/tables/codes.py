"""Tables: one-time codes. See tables.py for the conventions.

The tables hold neither a code nor its transaction: `digest` is keyed, and code and digest hang on a secret that no
database holds.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from gateway.adapters.db.tables.mail import metadata

code = Table(
    "code", metadata,
    Column("code_id", Text, primary_key=True),
    Column("client", Text, nullable=False),
    Column("customer", Text, nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("digits", Integer, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("language", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("sends", Integer, nullable=False),
    CheckConstraint("state IN ('live', 'used', 'cancelled', 'replaced', 'dead', 'blocked')", name="state"),
    CheckConstraint("digits BETWEEN 6 AND 10", name="digits"),
    sqlite_with_rowid=False,
)
# One live code of a client for each customer and purpose, also under concurrent requests.
Index("uq_code_live", code.c.client, code.c.customer, code.c.purpose, unique=True,
      sqlite_where=code.c.state == "live", postgresql_where=code.c.state == "live")

# Each mail with a code. Customer and client are here as well: the limits count by them.
code_mail = Table(
    "code_mail", metadata,
    Column("code_id", Text, ForeignKey("code.code_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("client", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("bounced_at", BigInteger),
    Column("bounced_status", Text),  # RFC 3463
    Column("diagnostic", Text),
    CheckConstraint("(bounced_at IS NULL) = (bounced_status IS NULL)", name="bounced"),
    sqlite_with_rowid=False,
)
Index("ix_code_mail_customer_at", code_mail.c.customer, code_mail.c.at)
Index("ix_code_mail_client_at", code_mail.c.client, code_mail.c.at)

# What was done because of a code, so that it is done once: see ports.services.bounces.
code_note = Table(
    "code_note", metadata,
    Column("code_id", Text, ForeignKey("code.code_id", ondelete="CASCADE"), primary_key=True),
    Column("what", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Customers who get no codes until an operator unblocks them.
blocked_customer = Table(
    "blocked_customer", metadata,
    Column("customer", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    CheckConstraint("by IN ('bank', 'customer')", name="by"),
)
