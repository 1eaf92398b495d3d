"""One-time codes. Nothing that was there changes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "code",
        sa.Column("code_id", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("digits", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('live', 'used', 'cancelled', 'replaced', 'dead', 'blocked')",
                           name=op.f("ck_code_state")),
        sa.CheckConstraint("digits BETWEEN 6 AND 10", name=op.f("ck_code_digits")),
        sa.PrimaryKeyConstraint("code_id", name="pk_code"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_code_customer", "code", ["customer"])
    op.create_index("ix_code_created_at", "code", ["created_at"])
    live = sa.text("state = 'live'")
    op.create_index("uq_code_live", "code", ["client", "customer", "purpose"], unique=True,
                    sqlite_where=live, postgresql_where=live)
    op.create_table(
        "code_mail",
        sa.Column("code_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("bounced_at", sa.BigInteger()),
        sa.Column("bounced_status", sa.Text()),
        sa.Column("diagnostic", sa.Text()),
        sa.CheckConstraint("(bounced_at IS NULL) = (bounced_status IS NULL)", name=op.f("ck_code_mail_bounced")),
        sa.ForeignKeyConstraint(["code_id"], ["code.code_id"], name="fk_code_mail_code_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("code_id", "number", name="pk_code_mail"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_code_mail_customer_at", "code_mail", ["customer", "at"])
    op.create_index("ix_code_mail_client_at", "code_mail", ["client", "at"])
    op.create_table(
        "code_note",
        sa.Column("code_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["code_id"], ["code.code_id"], name="fk_code_note_code_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("code_id", "what", name="pk_code_note"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "blocked_customer",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.CheckConstraint("by IN ('bank', 'customer')", name=op.f("ck_blocked_customer_by")),
        sa.PrimaryKeyConstraint("customer", name="pk_blocked_customer"),
    )
