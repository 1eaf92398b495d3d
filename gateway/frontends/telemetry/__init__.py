"""What an operator sees: log lines, the line of each mail, metrics."""
