"""The HTTP service: time-stamps for everybody (`POST /tsa`), certificates of the bank for everybody, certificates of
customers for partners alone. RFC 9110, RFC 9457 (errors), RFC 3161 3.4 (the time-stamp protocol over HTTP).

    service       what the endpoints need, in one frozen value that a reload replaces
    partners      who asks
    guard         rules for every request: size, rate, headers, one line of log, no internal error disclosed
    problems      Reason -> status and problem document
    tsa, certificates, health: the endpoints
    application   them together, with their OpenAPI
    connection    one connection: its time-outs, its peer's certificate
    server        the listener, TLS, signals
"""
