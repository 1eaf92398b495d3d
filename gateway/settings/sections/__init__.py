"""The sections of sealgate.yaml, each with its types and the contradictions in it.

A file has the section of its name. Small sections are with the one that they belong to: `tokens` and `escrow` in
`keys`, `lookups` in `sources`, `fetch` and `reports` in `trust`, `postgresql` and `backup` in `database`, `metrics` in
`processes`, `trust_card` in `opening`.
"""
