"""The only code that writes or reads a protected mail: `seal` (draft to sealed mail) and `open` (mail to Opened)."""
