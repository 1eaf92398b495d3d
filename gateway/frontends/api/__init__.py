"""The HTTP interface for the bank's own systems: one-time codes, and statement runs. RFC 9110, 9457, 6750;
draft-ietf-httpapi-idempotency-key-header-07.

    service       what the endpoints need, in one frozen value that a reload replaces
    callers       which client asks, and what it may
    bodies        octets -> a value that cannot be wrong, or a problem that says where it is
    once          a request that is repeated is not done twice
    few           what takes long is done a few times at once
    shapes        the JSON of requests and answers of codes, with their limits
    codes, customers, runs, health: the endpoints
    counted       each request is a number
    description   them in OpenAPI 3.1
    application   them together, behind the guard of `frontends.http`
"""
