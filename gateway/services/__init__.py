"""What the bank does by mail, one room for each service; no service imports another."""
