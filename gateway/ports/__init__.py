"""One small protocol per file: what the core asks of the outside. Implementations stand in `adapters`."""
