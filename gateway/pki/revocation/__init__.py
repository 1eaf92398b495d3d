"""CRL and OCSP: reading, authenticating, the table of revocations and its verdict."""
