"""Directories of certificates: LDAP, HTTP, SMIMEA, each behind a deadline, a cache and a circuit breaker."""
