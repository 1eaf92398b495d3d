"""The first tables: customers, certificates, journal, evidence, hold. `tables.py` says what each is for."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    customers()
    certificates()
    journal()
    evidence()
    hold()


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def row_id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def partial_index(table: str, column: str, where: str) -> None:
    only = sa.text(where)
    op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=only, postgresql_where=only)


def customers() -> None:
    op.create_table(
        "customer",
        text("number"),
        text("name"),
        text("segment", nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_customer"),
    )
    op.create_table(
        "customer_address",
        text("address"),
        text("number"),
        sa.ForeignKeyConstraint(["number"], ["customer.number"], name="fk_customer_address_number", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("address", name="pk_customer_address"),
    )
    op.create_index("ix_customer_address_number", "customer_address", ["number"])


def certificates() -> None:
    op.create_table(
        "certificate",
        row_id(),
        text("sha256"),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        text("subject"),
        text("ca_subject", nullable=True),
        sa.Column("addresses", sa.JSON(), nullable=False),
        number("not_before"),
        number("not_after"),
        text("customer", nullable=True),
        text("source"),
        text("key_origin"),
        sa.Column("device_bound", sa.Boolean(), nullable=False),
        sa.Column("capabilities", sa.LargeBinary(), nullable=True),
        text("profile", nullable=True),
        number("added_at"),
        text("trust", nullable=True),
        sa.Column("trust_for", sa.JSON(), nullable=True),
        sa.CheckConstraint("key_origin IN ('unknown', 'bank', 'customer', 'token')",
                           name=op.f("ck_certificate_key_origin")),
        sa.CheckConstraint("profile IS NULL OR profile IN ('cbc', 'gcm')", name=op.f("ck_certificate_profile")),
        sa.CheckConstraint("trust IS NULL OR trust IN ('trusted', 'distrusted')", name=op.f("ck_certificate_trust")),
        sa.ForeignKeyConstraint(["customer"], ["customer.number"], name="fk_certificate_customer", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_certificate"),
        sa.UniqueConstraint("sha256", name="uq_certificate_sha256"),
    )
    op.create_index("ix_certificate_customer", "certificate", ["customer"])
    partial_index("certificate", "ca_subject", "ca_subject IS NOT NULL")
    partial_index("certificate", "trust", "trust IS NOT NULL")
    op.create_table(
        "certificate_address",
        text("address"),
        number("certificate_id"),
        sa.ForeignKeyConstraint(["certificate_id"], ["certificate.id"], ondelete="CASCADE",
                                name="fk_certificate_address_certificate_id"),
        sa.PrimaryKeyConstraint("address", "certificate_id", name="pk_certificate_address"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_certificate_address_certificate_id", "certificate_address", ["certificate_id"])


def journal() -> None:
    op.create_table(
        "journal_claim",
        text("message_key"),
        text("owner"),
        text("token"),
        number("at"),
        sa.PrimaryKeyConstraint("message_key", name="pk_journal_claim"),
    )
    op.create_table(
        "journal",
        text("message_key"),
        text("recipient"),
        text("state"),
        text("reply", nullable=True),
        sa.Column("resent", sa.Integer(), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        number("at"),
        sa.CheckConstraint("state IN ('planned', 'sending', 'taken')", name=op.f("ck_journal_state")),
        sa.CheckConstraint("(state = 'taken') = (reply IS NOT NULL)", name=op.f("ck_journal_reply")),
        sa.PrimaryKeyConstraint("message_key", "recipient", name="pk_journal"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_journal_at", "journal", ["at"])


def evidence() -> None:
    op.create_table(
        "evidence",
        row_id(),
        number("at"),
        text("incident"),
        text("message_id"),
        text("queue_id", nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evidence"),
    )
    op.create_index("ix_evidence_at", "evidence", ["at"])
    op.create_index("ix_evidence_incident", "evidence", ["incident"])
    partial_index("evidence", "message_id", "message_id != ''")
    partial_index("evidence", "queue_id", "queue_id IS NOT NULL")


def hold() -> None:
    op.create_table(
        "held",
        row_id(),
        text("hold_id"),
        text("kind"),
        number("at"),
        text("direction"),
        text("sender"),
        sa.Column("recipients", sa.JSON(), nullable=False),
        text("subject"),
        text("rule"),
        text("reason"),
        text("state"),
        number("size"),
        sa.Column("envelope", sa.JSON(), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        number("stored"),
        sa.CheckConstraint("kind IN ('hold', 'quarantine')", name=op.f("ck_held_kind")),
        sa.CheckConstraint("state IN ('waiting', 'released', 'rejected')", name=op.f("ck_held_state")),
        sa.PrimaryKeyConstraint("id", name="pk_held"),
        sa.UniqueConstraint("hold_id", name="uq_held_hold_id"),
    )
    op.create_index("ix_held_state", "held", ["state"])
    op.create_table(
        "held_body",
        text("hold_id"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hold_id"], ["held.hold_id"], name="fk_held_body_hold_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hold_id", name="pk_held_body"),
    )
