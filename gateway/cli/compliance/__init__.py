"""`sealgate compliance rts`."""
