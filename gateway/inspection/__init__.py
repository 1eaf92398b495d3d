"""The report of `sealgate inspect` on any file, by the very open_mail and judge of the gateway."""
