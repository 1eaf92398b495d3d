"""Statement runs. Nothing that was there changes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statement_run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('statement', 'replace', 'recall')", name=op.f("ck_statement_run_kind")),
        sa.CheckConstraint("state IN ('new', 'planning', 'running', 'paused', 'done', 'cancelled', 'stopped')",
                           name=op.f("ck_statement_run_state")),
        sa.PrimaryKeyConstraint("id", name="pk_statement_run"),
    )
    op.create_index("ix_statement_run_created_at", "statement_run", ["created_at"])
    op.create_table(
        "statement_chunk",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("first_row", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["statement_run.id"], name="fk_statement_chunk_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "number", name="pk_statement_chunk"),
    )
    op.create_table(
        "statement_item",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.BigInteger(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("series", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("queue_id", sa.Text(), nullable=True),
        sa.Column("resent", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("delivery_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('planned', 'sending', 'waiting', 'sent', 'held', 'refused', 'repeated', "
                           "'cancelled')", name=op.f("ck_statement_item_state")),
        sa.CheckConstraint("delivery IN ('', 'delivered', 'deferred', 'bounced')",
                           name=op.f("ck_statement_item_delivery")),
        sa.ForeignKeyConstraint(["run"], ["statement_run.id"], name="fk_statement_item_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_statement_item"),
    )
    op.create_index("ix_statement_item_series_version", "statement_item", ["series", "version"], unique=True)
    op.create_index("ix_statement_item_run_row_holder", "statement_item", ["run", "row", "holder"], unique=True)
    op.create_index("ix_statement_item_queue_id", "statement_item", ["queue_id"],
                    sqlite_where=sa.text("queue_id IS NOT NULL"), postgresql_where=sa.text("queue_id IS NOT NULL"))
