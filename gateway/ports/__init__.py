"""One small protocol per file: what the core needs from outside. Implementations are in `adapters`."""
