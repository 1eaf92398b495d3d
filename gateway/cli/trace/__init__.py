"""`sealgate trace`."""
