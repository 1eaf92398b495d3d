"""The audit log, its heads, and the policy sets that were in force; triggers keep them append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("audit", "audit_head", "policy_set")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("result IN ('begun', 'done', 'failed')", name=op.f("ck_audit_result")),
        sa.CheckConstraint("actor_kind IN ('user', 'client', 'program')", name=op.f("ck_audit_actor_kind")),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_object_id", "audit", ["object_id"])
    op.create_table(
        "audit_value",
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", "field", name="pk_audit_value"),
    )
    op.create_index("ix_audit_value_value", "audit_value", ["value"])
    op.create_table(
        "audit_head",
        sa.Column("size", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_head"),
    )
    op.create_table(
        "policy_set",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_policy_set"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _triggers_of_sqlite()
    else:
        _triggers_of_postgresql()


def _triggers_of_sqlite() -> None:
    for table in _APPEND_ONLY:
        for act in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} BEGIN "
                       f"SELECT RAISE(ABORT, 'rows of {table} cannot be changed'); END")
    op.execute("CREATE TRIGGER audit_next BEFORE INSERT ON audit "
               "WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit) BEGIN "
               "SELECT RAISE(ABORT, 'the number of an audit record is not the next one'); END")


def _triggers_of_postgresql() -> None:
    op.execute("CREATE OR REPLACE FUNCTION sealgate_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "RAISE EXCEPTION 'rows of % cannot be changed', TG_TABLE_NAME; END $$")
    for table in _APPEND_ONLY:
        op.execute(f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
                   "FOR EACH ROW EXECUTE FUNCTION sealgate_append_only()")
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                   "FOR EACH STATEMENT EXECUTE FUNCTION sealgate_append_only()")
    op.execute("CREATE OR REPLACE FUNCTION sealgate_audit_next() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit) THEN "
               "RAISE EXCEPTION 'the number of an audit record is not the next one'; END IF; RETURN NEW; END $$")
    op.execute("CREATE TRIGGER audit_next BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION sealgate_audit_next()")
