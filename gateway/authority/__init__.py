"""What the bank itself issues: time-stamps for its mails, certificates for its demonstrations and tests.

`tsa` is the embedded time-stamping service (RFC 3161), `kernel_clock` says whether the kernel believes its own clock,
`ca` makes roots, intermediates, people's certificates and PKCS#12.
"""
