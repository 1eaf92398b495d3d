"""Deletion of old records: a file for each kind, and `steps`."""
