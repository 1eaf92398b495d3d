"""What trust needs: revocation lists and answers, what is to be fetched, authorities met in mail, capabilities' age."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    counters()
    revocation()
    fetching()
    authorities()
    capabilities()


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def octets(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def counters() -> None:
    op.create_table("counter", text("name"), number("value"), sa.PrimaryKeyConstraint("name", name="pk_counter"))


def revocation() -> None:
    op.create_table(
        "revocation_list",
        text("authority"), text("scope"), text("kind"), text("url"), text("number", nullable=True),
        text("base_number", nullable=True), number("this_update"), number("next_update", nullable=True),
        number("since"), number("fetched_at"), text("sha256"), octets("records"),
        sa.CheckConstraint("kind IN ('full', 'delta')", name=op.f("ck_revocation_list_kind")),
        sa.PrimaryKeyConstraint("authority", "scope", "kind", name="pk_revocation_list"))
    op.create_table(
        "revocation_answer",
        text("authority"), text("serial"), text("status"), number("this_update"), number("next_update", nullable=True),
        number("revoked_at", nullable=True), text("reason", nullable=True), number("fetched_at"),
        sa.CheckConstraint("status IN ('good', 'revoked', 'unknown')", name=op.f("ck_revocation_answer_status")),
        sa.PrimaryKeyConstraint("authority", "serial", name="pk_revocation_answer"))


def fetching() -> None:
    op.create_table(
        "fetch_task",
        text("key"), text("kind"), text("url"), octets("data", nullable=True), number("asked_at"), number("due_at"),
        number("done_at", nullable=True), number("failures"), text("reason", nullable=True),
        text("detail", nullable=True),
        sa.CheckConstraint("kind IN ('crl', 'ocsp', 'issuer')", name=op.f("ck_fetch_task_kind")),
        sa.PrimaryKeyConstraint("key", name="pk_fetch_task"))
    op.create_index("ix_fetch_task_due_at", "fetch_task", ["due_at"])


def authorities() -> None:
    op.create_table(
        "met_authority",
        text("key"), text("subject"), text("issuer"), octets("der", nullable=True), text("example"),
        number("first_at"), number("last_at"), number("count"), number("told_at", nullable=True),
        number("ignored_at", nullable=True), sa.PrimaryKeyConstraint("key", name="pk_met_authority"))


def capabilities() -> None:
    op.add_column("certificate", sa.Column("capabilities_at", sa.BigInteger(), nullable=True))
