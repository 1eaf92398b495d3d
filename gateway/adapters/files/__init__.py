"""Files that the settings name or that commands write: secrets, logins, roots, backups."""
