"""Statements and bills in runs: a source of customers, a document and a sealed mail for each (docs/statements.md)."""
