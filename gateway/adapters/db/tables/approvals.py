"""Tables: requests for a second person's approval, and the rule in force. See tables/mail.py for the conventions."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Table, Text

from gateway.adapters.db.tables.mail import metadata

# An act that one person wants to do and another one has to approve. `digest`: SHA-256 of act and object.
approval = Table(
    "approval", metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("act", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("details", Text, nullable=False),  # JSON, for the person who approves
    Column("digest", Text, nullable=False, index=True),
    Column("requester", Text, nullable=False),  # a person of the settings, not an account
    Column("approver", Text),
    Column("state", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    CheckConstraint("state IN ('open', 'approved', 'declined', 'used')", name="state"),
)

# One row: which acts need a second person, and who the persons are. The settings can only add to it.
four_eyes = Table(
    "four_eyes", metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),  # JSON: acts and persons
)
