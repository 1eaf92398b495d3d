"""One-time codes, composed: the service, its events, callbacks to clients."""
