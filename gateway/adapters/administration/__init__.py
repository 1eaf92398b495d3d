"""What commands change in the store: imports of certificates and customers, logins, keys."""
