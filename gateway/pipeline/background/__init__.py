"""Work of the jobs process: held mail, fetching, the daily report."""
