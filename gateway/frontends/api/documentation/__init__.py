"""Pages for people: `/v1/docs` shows the OpenAPI document and sends requests, `/v1/problems` has all problem types.

Everything on them comes from the gateway. The Content-Security-Policy allows nothing else, and nothing inline.
"""
