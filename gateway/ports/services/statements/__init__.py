"""What the database keeps of statement runs, by concern: one protocol per file; `rows` has the values."""
