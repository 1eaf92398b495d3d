"""The bank's own mails: templates in, whole messages out."""
