"""What administrators do every day: status, the mails, held mail."""
