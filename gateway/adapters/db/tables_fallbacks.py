"""Tables: invitations, and what waits for a certificate. See tables.py for the conventions."""

