"""Which item of a chunk was in work when its process died, and how often."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("statement_chunk", sa.Column("item", sa.BigInteger()))
    op.add_column("statement_chunk", sa.Column("attempts", sa.BigInteger()))
