"""Alembic's way in: runs the migrations on the connection that `schema.bring_up_to_date` holds."""

from alembic import context

from gateway.adapters.db.tables.complete import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,  # our engine says BEGIN itself, so SQLite's DDL rolls back too
)
context.run_migrations()
