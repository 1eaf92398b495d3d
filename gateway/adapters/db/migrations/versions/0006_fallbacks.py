"""Invitations and waiting for certificates. Nothing that was there changes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_wait",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("want", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("looked_at", sa.BigInteger()),
        sa.Column("told_at", sa.BigInteger()),
        sa.CheckConstraint("way IN ('hold', 'invite')", name=op.f("ck_held_wait_way")),
        sa.CheckConstraint("want IN ('enrolled', 'any')", name=op.f("ck_held_wait_want")),
        sa.ForeignKeyConstraint(["hold_id"], ["held.hold_id"], name="fk_held_wait_hold_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hold_id", name="pk_held_wait"),
    )
    op.create_index("ix_held_wait_address", "held_wait", ["address"])
    op.create_table(
        "fallback",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("want", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.Column("found_at", sa.BigInteger()),
        sa.CheckConstraint("way IN ('hold', 'invite', 'encrypted_pdf', 'plain_knowingly')",
                           name=op.f("ck_fallback_way")),
        sa.CheckConstraint("want IN ('enrolled', 'any')", name=op.f("ck_fallback_want")),
        sa.PrimaryKeyConstraint("address", "rule", "way", name="pk_fallback"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "invitation",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("address", name="pk_invitation"),
        sqlite_with_rowid=False,
    )
