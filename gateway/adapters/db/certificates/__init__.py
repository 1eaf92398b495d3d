"""Certificates, customers, revocations and what is to be fetched for them."""
