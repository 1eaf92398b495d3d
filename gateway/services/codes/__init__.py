"""One-time codes by sealed mail instead of SMS (docs/codes.md)."""
