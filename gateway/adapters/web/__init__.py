"""The HTTP client and what uses it: time-stamps, callbacks, the password hook."""
