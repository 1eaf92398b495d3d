"""Tables: one-time codes. See tables.py for the conventions."""

