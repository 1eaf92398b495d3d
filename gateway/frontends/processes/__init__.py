"""The supervisor, its worker processes and their sockets, signals and reloads."""
