"""`sealgate statements`."""
