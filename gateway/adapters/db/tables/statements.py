"""Tables: runs of statements, their chunks, and an item for each mail. See tables.py for the conventions."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, Text

from gateway.adapters.db.tables.mail import _row_id, metadata

statement_run = Table(
    "statement_run", metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("rows", BigInteger),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("owner", Text),  # who plans and ends it: as journal_claim.owner
    CheckConstraint("kind IN ('statement', 'replace', 'recall')", name="kind"),
    CheckConstraint("state IN ('new', 'planning', 'running', 'paused', 'done', 'cancelled', 'stopped')", name="state"),
)

# Rows that follow each other. `owner` is the process at work on them, by the claim `token`. due_at NULL: all settled.
# attempts NULL: no process died at work on them. Else `item` is the one in work, or NULL, and `attempts` says how often
# in a row work on it began without coming to its end.
statement_chunk = Table(
    "statement_chunk", metadata,
    Column("run", Text, ForeignKey("statement_run.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("start", BigInteger, nullable=False),  # octets of the source before its first row
    Column("first_row", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("owner", Text),
    Column("token", Text),
    Column("at", BigInteger, nullable=False),
    Column("item", BigInteger),
    Column("attempts", BigInteger),
)

# One mail. No account is in it: `series` is a MAC over customer, account and period. `version` NULL: this item does not
# prevent another run that sends the same statement (refused, repeated, bounced).
statement_item = Table(
    "statement_item", metadata,
    _row_id(),
    Column("run", Text, ForeignKey("statement_run.id", ondelete="CASCADE"), nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("holder", BigInteger, nullable=False),
    Column("customer", Text, nullable=False),
    Column("series", LargeBinary, nullable=False),
    Column("version", Text),
    Column("state", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("reply", Text, nullable=False),
    Column("queue_id", Text),
    Column("resent", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("delivery", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("delivery_at", BigInteger),
    CheckConstraint("state IN ('planned', 'sending', 'waiting', 'sent', 'held', 'refused', 'repeated', 'cancelled')",
                    name="state"),
    CheckConstraint("delivery IN ('', 'delivered', 'deferred', 'bounced')", name="delivery"),
    Index(None, "series", "version", unique=True),
    Index(None, "run", "row", "holder", unique=True),
)
Index("ix_statement_item_queue_id", statement_item.c.queue_id, sqlite_where=statement_item.c.queue_id.is_not(None),
      postgresql_where=statement_item.c.queue_id.is_not(None))
