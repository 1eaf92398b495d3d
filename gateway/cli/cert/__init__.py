"""`sealgate cert`: import, list, find, unknown authorities, the DNS zone."""
