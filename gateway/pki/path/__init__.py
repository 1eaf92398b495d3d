"""Certification paths: search, validation, constraints, usage, cached verdicts."""
