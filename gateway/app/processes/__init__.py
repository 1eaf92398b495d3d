"""The processes beside the relay, composed: milter, HTTP, API, jobs."""
