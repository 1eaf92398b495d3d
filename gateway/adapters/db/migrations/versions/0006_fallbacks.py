"""Invitations and waiting for certificates. Nothing that was there changes."""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
