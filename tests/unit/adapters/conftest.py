"""Both kinds of database, for the adapters that live in one."""

from tests.support.databases import again, database, dead_database, kind  # noqa: F401 - pytest finds them by name
