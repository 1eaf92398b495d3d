"""SMTP and LMTP: listeners, sessions, commands, DATA, who the client is."""
