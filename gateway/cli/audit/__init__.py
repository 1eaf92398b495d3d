"""`sealgate audit`, and who acts on the command line."""
