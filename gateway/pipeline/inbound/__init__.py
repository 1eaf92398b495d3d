"""Inbound mail: opened, judged, labelled and delivered. `receive` is the way through it."""
