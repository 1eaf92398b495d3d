"""Octets that nobody would write, for every parser of the gateway: see README.md beside this file."""
