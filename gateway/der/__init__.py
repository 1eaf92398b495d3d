"""Octets <-> DER (X.690): the only room that reads tags and lengths.

    prescan   bounds on hostile input: depth, element count, OID size, lengths inside their parents
    walk      a fast, strict walker over definite-length encodings; gives spans, copies nothing
    build     values -> DER; what constant templates are made of
    ber       BER (indefinite lengths, segmented octet strings) -> definite lengths; the tolerant way in

Imports nothing but `errors`. Every fault is a GatewayError: INPUT_MALFORMED (as `DerMalformed`) or
INPUT_LIMIT_EXCEEDED. All of it is linear in the size of the input and never recurses.
"""
