"""Evidence records are deflated. Records that are there stay as they are, and readable."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evidence", sa.Column("packed", sa.LargeBinary()))
    op.add_column("evidence", sa.Column("settled", sa.Text()))
