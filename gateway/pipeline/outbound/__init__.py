"""Outbound mail: decided, sealed and sent. `send` is the way through it."""
