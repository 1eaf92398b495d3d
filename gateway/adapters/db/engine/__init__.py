"""SQLite and PostgreSQL behind one class: connections, group commit, identity, schema."""
