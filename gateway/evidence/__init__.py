"""The log of evidence: a Merkle tree (RFC 9162) and its signed heads (C2SP)."""
