"""The endpoints, one file for each kind of resource. All but those of `health` are below /v1 (`api.application`)."""
