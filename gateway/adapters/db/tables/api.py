"""Tables: requests that were answered, and calls that are due. See tables.py for the conventions."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from gateway.adapters.db.tables.mail import _row_id, metadata

# A request that must not be done twice. Neither its key nor anything of its content can be read here.
request = Table(
    "request", metadata,
    Column("key", Text, primary_key=True),  # a MAC over client and Idempotency-Key
    Column("digest", Text, nullable=False),  # a MAC over what was asked for
    Column("owner", Text, nullable=False),  # who works on it, or did: as journal_claim.owner
    Column("token", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("status", BigInteger),  # of the answer; NULL: in work
    Column("answer", Text),
)

# A call to a client that is due, in the order of its subject's events; gone once it is taken.
callback = Table(
    "callback", metadata,
    _row_id(),
    Column("event", Text, nullable=False, unique=True),
    Column("client", Text, nullable=False),
    Column("subject", Text, nullable=False),  # such as a code's id: calls of one subject keep their order
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("tries", BigInteger, nullable=False),
    Index(None, "client", "subject", "id"),
)
