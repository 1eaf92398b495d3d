"""The audit log as values: actors, acts, records."""
