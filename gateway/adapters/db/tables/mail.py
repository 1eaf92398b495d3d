"""The tables of the gateway, once, for SQLite and PostgreSQL alike. `migrations/` makes them; a test compares both.

Times are microseconds since 1970 in UTC: they sort, and no database shifts them. Addresses are folded
(ASCII case only). Sets of texts that no query searches are JSON.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Names of constraints are fixed, so that later migrations can name them.
metadata = MetaData(naming_convention={
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
})


def micros(at: datetime) -> int:
    """Microseconds since 1970; exact, unlike a float of seconds. `at` is aware."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The way back from `micros`."""
    return _EPOCH + timedelta(microseconds=value)


def _row_id() -> Column[int]:
    """A growing number; SQLite increments only an INTEGER automatically."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


customer = Table(
    "customer", metadata,
    Column("number", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("segment", Text),
)

# An address names one customer: an answer "one of these two" would let one see the other's mail.
customer_address = Table(
    "customer_address", metadata,
    Column("address", Text, primary_key=True),
    Column("number", Text, ForeignKey("customer.number", ondelete="CASCADE"), nullable=False, index=True),
)

certificate = Table(
    "certificate", metadata,
    _row_id(),
    Column("sha256", Text, nullable=False, unique=True),
    Column("der", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("ca_subject", Text),  # SHA-256 of the DER subject where this is an issuer, else NULL
    Column("addresses", JSON, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("customer", Text, ForeignKey("customer.number", ondelete="SET NULL"), index=True),
    Column("source", Text, nullable=False),
    Column("key_origin", Text, nullable=False),
    Column("device_bound", Boolean, nullable=False),
    Column("capabilities", LargeBinary),
    Column("profile", Text),
    Column("added_at", BigInteger, nullable=False),
    Column("trust", Text),
    Column("capabilities_at", BigInteger),  # when the mail was signed that announced them
    Column("trust_for", JSON),  # of a trusted issuer: the purposes for which it is an anchor
    CheckConstraint("key_origin IN ('unknown', 'bank', 'customer', 'token')", name="key_origin"),
    CheckConstraint("profile IS NULL OR profile IN ('cbc', 'gcm')", name="profile"),
    CheckConstraint("trust IS NULL OR trust IN ('trusted', 'distrusted')", name="trust"),
)
Index("ix_certificate_ca_subject", certificate.c.ca_subject, sqlite_where=certificate.c.ca_subject.is_not(None),
      postgresql_where=certificate.c.ca_subject.is_not(None))
Index("ix_certificate_trust", certificate.c.trust, sqlite_where=certificate.c.trust.is_not(None),
      postgresql_where=certificate.c.trust.is_not(None))

# The way in for every outbound mail: address to certificates, in the order of the primary key.
certificate_address = Table(
    "certificate_address", metadata,
    Column("address", Text, primary_key=True),
    Column("certificate_id", BigInteger, ForeignKey("certificate.id", ondelete="CASCADE"), primary_key=True,
           index=True),
    sqlite_with_rowid=False,
)

# Who works on a message now. `owner` names process and machine (see journal.py), `token` the one claim.
journal_claim = Table(
    "journal_claim", metadata,
    Column("message_key", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

journal = Table(
    "journal", metadata,
    Column("message_key", Text, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reply", Text),
    Column("resent", Integer, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    CheckConstraint("state IN ('planned', 'sending', 'taken')", name="state"),
    CheckConstraint("(state = 'taken') = (reply IS NOT NULL)", name="reply"),
    sqlite_with_rowid=False,
)

evidence = Table(
    "evidence", metadata,
    _row_id(),
    Column("at", BigInteger, nullable=False, index=True),
    Column("incident", Text, nullable=False, index=True),
    Column("message_id", Text, nullable=False),
    Column("queue_id", Text),
    Column("record", JSON, nullable=False),  # as earlier versions wrote it; 0 where `packed` has it
    Column("packed", LargeBinary),  # the record (see evidence_packing.py)
    Column("settled", Text),  # of the record; NULL where an earlier version wrote it
)
Index("ix_evidence_message_id", evidence.c.message_id, sqlite_where=evidence.c.message_id != "",
      postgresql_where=evidence.c.message_id != "")
Index("ix_evidence_queue_id", evidence.c.queue_id, sqlite_where=evidence.c.queue_id.is_not(None),
      postgresql_where=evidence.c.queue_id.is_not(None))

held = Table(
    "held", metadata,
    _row_id(),
    Column("hold_id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipients", JSON, nullable=False),
    Column("subject", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("envelope", JSON, nullable=False),
    Column("origin", JSON, nullable=False),
    Column("stored", BigInteger, nullable=False),
    CheckConstraint("kind IN ('hold', 'quarantine')", name="kind"),
    CheckConstraint("state IN ('waiting', 'released', 'rejected')", name="state"),
)

# Apart from `held`, so that listing never reads through bodies.
held_body = Table(
    "held_body", metadata,
    Column("hold_id", Text, ForeignKey("held.hold_id", ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

# Numbers that grow or are remembered: 'revocation' and 'issuers' name what verdicts hang on, 'report' the last day.
counter = Table(
    "counter", metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# One revocation list as it is used (RFC 5280 5): `records` are its entries, sorted, of fixed width (see
# pki.revocation.entries).
revocation_list = Table(
    "revocation_list", metadata,
    Column("authority", Text, primary_key=True),  # whose certificates it covers
    Column("scope", Text, primary_key=True),  # '' = all of them
    Column("kind", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("number", Text),
    Column("base_number", Text),
    Column("this_update", BigInteger, nullable=False),
    Column("next_update", BigInteger),
    Column("since", BigInteger, nullable=False),  # thisUpdate of the first list in an unbroken row of them
    Column("fetched_at", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("records", LargeBinary, nullable=False),
    CheckConstraint("kind IN ('full', 'delta')", name="kind"),
)

# One answer about one certificate (RFC 6960).
revocation_answer = Table(
    "revocation_answer", metadata,
    Column("authority", Text, primary_key=True),
    Column("serial", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("this_update", BigInteger, nullable=False),
    Column("next_update", BigInteger),
    Column("revoked_at", BigInteger),
    Column("reason", Text),
    Column("fetched_at", BigInteger, nullable=False),
    CheckConstraint("status IN ('good', 'revoked', 'unknown')", name="status"),
)

# What the background fetches, when it is due, and how it went the last time.
fetch_task = Table(
    "fetch_task", metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("data", LargeBinary),
    Column("asked_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("done_at", BigInteger),
    Column("failures", BigInteger, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    CheckConstraint("kind IN ('crl', 'ocsp', 'issuer')", name="kind"),
)

# Roots and issuers that mail has shown and no operator has decided on.
unknown_authority = Table(
    "met_authority", metadata,
    Column("key", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("der", LargeBinary),
    Column("example", Text, nullable=False),  # a signer's address that came under it
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("told_at", BigInteger),
    Column("ignored_at", BigInteger),  # when the administrator decided to ignore it
)

# Processes of several nodes that show life: who works on what is distinguished from who has died (see pulse.py).
node = Table(
    "node", metadata,
    Column("name", Text, primary_key=True),  # as journal_claim.owner
    Column("beat", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),  # seconds since 1970, by the database's clock: only for cleaning up
)

# One row: the id by which the settings know this database (see identity.py).
database_identity = Table(
    "database_identity", metadata,
    Column("id", Text, primary_key=True),
)
