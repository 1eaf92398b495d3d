"""Tables: requests that were answered, and calls that are due. See tables.py for the conventions."""

