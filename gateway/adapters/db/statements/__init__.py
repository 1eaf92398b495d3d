"""Statement runs in the database, one file for each protocol of ports.services.statements."""
