"""All tables of the house: those of mail in `tables`, those of each service in a file of its own."""

from gateway.adapters.db import tables_api, tables_codes, tables_fallbacks, tables_statements
from gateway.adapters.db.tables import metadata

__all__ = ["metadata", "tables_api", "tables_codes", "tables_fallbacks", "tables_statements"]
