"""What `sealgate inspect` tells of any file, out of the very open_mail and judge of the gateway."""
