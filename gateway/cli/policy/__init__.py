"""`sealgate policy`."""
