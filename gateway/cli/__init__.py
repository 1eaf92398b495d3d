"""The command `sealgate`: one file per command group, put together in `main`; `context` is what all of them share."""
