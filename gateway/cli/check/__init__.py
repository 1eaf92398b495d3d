"""`sealgate check`: a file per subject, put together in `command`."""
