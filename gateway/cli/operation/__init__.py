"""Daily work: the state on one screen, and lists of mails."""
