"""`sealgate inspect`."""
