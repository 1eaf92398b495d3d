"""The tables, a file per subject. `migrations/` creates them; a test compares both."""
