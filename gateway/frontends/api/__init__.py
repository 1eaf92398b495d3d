"""The HTTP interface for the bank's own systems: one-time codes, and statement runs. RFC 9110, 9457, 6750;
draft-ietf-httpapi-idempotency-key-header-07.

    service       what the endpoints need, in one frozen value that a reload replaces
    callers       which client asks, and what it may
    bodies        octets -> a value that cannot be wrong, or a problem that says where it is
    idempotency   a repeated request gets the first answer and is not carried out twice
    concurrency_limit: at most so many slow requests at the same time
    memory_release: frees and overwrites the memory of a finished request
    transactions  a transaction out of JSON
    shapes        the JSON of requests and answers of codes, with their limits
    pages, etags  the form of every list; changes of a resource as it was read
    documentation/ the pages for people: /v1/docs and /v1/problems
    endpoints/    one file for each kind of resource
    former_paths  paths without a version, until they end
    counted       counts each request
    description   them in OpenAPI 3.1
    application   all of it, behind the guard of `frontends.http`
"""
