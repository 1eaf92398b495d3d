"""Tables: legal holds. See tables/mail.py for the conventions."""

from sqlalchemy import JSON, BigInteger, Column, Table, Text

from gateway.adapters.db.tables.mail import metadata

# Records that are covered by a row are not deleted. A text that is '' and a time that is NULL are no condition.
legal_hold = Table(
    "legal_hold", metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("since", BigInteger),
    Column("until", BigInteger),
    Column("addresses", JSON, nullable=False),  # of the customer, when the hold was added
    Column("customers", JSON, nullable=False),  # who had the address then, or the addresses of the message
)
