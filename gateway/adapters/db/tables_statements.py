"""Tables: runs, and statements that were sent. See tables.py for the conventions."""

