"""SMTP: `server` has the listeners, `smtp` the commands, `data` the bulk reading, `replies` what the wire says."""
