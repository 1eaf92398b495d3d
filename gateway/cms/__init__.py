"""CMS in, CMS out (RFC 5652, 5083, 5084, 5753, 8418, 8551): no mail, no files, no network, no clock.

    algorithms        OIDs, names and strengths: one table for the whole gateway
    certificate       X.509 (RFC 5280) read once into a value       names    distinguished names as text
    attributes        signed and unsigned attributes
    signed            SignedData written          signed_reader    SignedData read and verified
    enveloped         EnvelopedData, AuthEnvelopedData written
    enveloped_reader  both read and decrypted; `envelope` is what they say before
    key_agreement     what both ends compute (RFC 5753, RFC 8418); `content_keys`: one key never serves two ciphers
    timestamp         RFC 3161 requests, tokens, responses
    compressed        RFC 3274, bounded

Private keys are never seen here: they come in as callables and small protocols. Every fault is a GatewayError.
"""
