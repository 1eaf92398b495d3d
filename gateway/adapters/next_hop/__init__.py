"""The next hop over SMTP: sessions, the pool of connections, and the log of the mail server behind us."""
