"""All tables: those of mail in `mail`, those of each service in a file of its own."""

from gateway.adapters.db.tables import api as tables_api
from gateway.adapters.db.tables import approvals as tables_approvals
from gateway.adapters.db.tables import audit as tables_audit
from gateway.adapters.db.tables import codes as tables_codes
from gateway.adapters.db.tables import fallbacks as tables_fallbacks
from gateway.adapters.db.tables import legal_holds as tables_legal_holds
from gateway.adapters.db.tables import statements as tables_statements
from gateway.adapters.db.tables.mail import metadata

__all__ = ["metadata", "tables_api", "tables_approvals", "tables_audit", "tables_codes", "tables_fallbacks",
           "tables_legal_holds", "tables_statements"]
