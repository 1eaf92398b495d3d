"""Daily work: the state on one screen, lists of mails, held mail."""
