"""What the services ask of the outside: stores of codes, statements and fallbacks, documents, callbacks."""
