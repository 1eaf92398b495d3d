"""The commands that start processes: run, worker, milter, http, api, jobs, runs."""
