"""The audit log put together: its signed heads, and the verification of the whole log."""
