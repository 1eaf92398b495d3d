"""What the bank itself issues: time-stamps for its mails, certificates for its demonstrations and tests.

    tsa           the embedded time-stamping service (RFC 3161), a `ports.stampers.TimeStamper`
    kernel_clock  whether the kernel believes its own clock
    ca            roots, intermediates, people, time-stampers; PKCS#12
"""
