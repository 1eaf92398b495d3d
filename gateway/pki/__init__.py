"""Who may be believed: trust, path, select, judge; `identity` is the only mint of VerifiedSigner and SignedContent."""
