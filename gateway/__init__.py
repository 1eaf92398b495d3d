"""Sealgate: a mail encryption gateway for banks, built from standards alone.

It is placed between the bank's mail server and the internet. It signs, time-stamps and encrypts outbound mail as the
policies require, or does not send it; it decrypts, verifies, judges and labels inbound mail.

The packages, lowest first. A package imports only packages above it in this list; `tests/architecture` enforces that.

    errors      Reason, the one vocabulary of failures, and GatewayError
    clock       the time as a dependency
    threads     threads that the system may refuse
    languages   the languages of mails, documents and pages: each is a directory of letters/templates
    distribution  the files that come with the program, and how it starts itself
    child_process  programs that answer questions over a socket, each with a deadline
    strictyaml/ a YAML loader that rejects ambiguous input and keeps the position of every node
    model/      frozen values; `sentences`: every Reason in words, with its remedy; `fallbacks`: the table of fallbacks
    der/        octets <-> DER: walker, builder, scan of hostile input, BER to DER
    mime/       octets <-> structure, by spans and splices; the S/MIME forms
    ports/      protocols of everything outside the core, one per file; services/: those of the services
    cms/        CMS reading and writing: no mail, files, network or clock
    pki/        judgement of certificates: path/ (validation), revocation/ (CRL, OCSP), `select` (of recipients),
                `judge` (of signers), `identity` (the only constructor of VerifiedSigner and SignedContent)
    smime/      seal (draft -> sealed mail), open (mail -> opened and judged), protect (header protection)
    authority/  what the bank issues: certificates (ca) and time-stamps (tsa)
    evidence/   the Merkle tree of the audit log, and its heads
    settings/   sealgate.yaml as frozen values
    postfix/    `sealgate check --postfix`: the configuration of the Postfix beside the gateway
    policy/     rules -> decision, without I/O; recorded/: decisions from the evidence again
    actions/    the verbs of the policy language, one per file
    inspection/ `sealgate inspect`: the same opening and judging, without a configuration
    letters/    the bank's own mails: templates in, whole messages out
    pdf/        documents: rendering, examination, encryption
    pipeline/   the way of a message: inbound/ (`receive`), outbound/ (`send`), fallbacks/ (mail without a certificate,
                one file each), background/ (held mail, fetching, daily report), `context` (the dependencies of all),
                `run` (journal, next hop, hold store, answer)
    services/   codes/ and statements/; `bounces`, `answers`, `verp`: mail that comes back to them
    adapters/   implementations of the ports: db/, keys/, directories/, next_hop/, web/, files/, administration/
    frontends/  smtp/ (and LMTP), milter/, http/ (time-stamps, certificates), api/ (codes, runs, operation),
                processes/ (supervisor and workers), telemetry/ (logs, metrics); `replies`: Reason -> SMTP reply; limits
    app/        the composition root, the only package that names adapters; processes/: what each process is made of
    setup/      `sealgate init`: a new bank from five answers
    demo/       a bank in a directory, and its tour
    cli/        the commands, one file or package per command group

A mail out: frontends.smtp.session -> app.Gateway.handle -> pipeline.outbound.send -> actions -> smime.seal -> cms ->
            next hop. By the milter: frontends.milter -> app.Gateway.handle_in_place -> pipeline.outbound.in_place.
A mail in:  frontends.smtp.session -> app.Gateway.handle -> pipeline.inbound.receive -> smime.open -> pki.judge ->
            pipeline.inbound.compose -> next hop, or pipeline.inbound.service -> a service.
A code:     frontends.api -> services.codes -> letters -> pipeline.outbound.send, sealed or not at all
            (pipeline.outbound.sealed_only).
A run:      services.statements: spec, source -> preflight -> drive (one process leads) -> work (each process): letters,
            pdf -> pipeline.outbound.send. Composed by app.statements (runs, leaders, worker_pool).

Standards, with what is partial:

    mail        RFC 5321, 2033 (LMTP), 5322, 6152 (8BITMIME), 6531 (SMTPUTF8), 2920 (PIPELINING), 2034, 1870 (SIZE),
                3461 (DSN, passed on), 3464 (reports, written and read), 3834 (machines' answers), 8601 and 7281
                (Authentication-Results), 2045-2049, 2231, 6522; 5233 (return paths), 2919 and 8098 (lists and
                receipts, which are no answers)
    S/MIME      RFC 8551, 8550; 9788 (header protection), 9787 (what readers are shown)
    CMS         RFC 5652 (no digested, authenticated or key-encryption-key content), 5083 and 5084 (GCM; no CCM), 5753,
                8418 (X25519; no X448), 8419 (Ed25519; no Ed448), 4056 (PSS), 3560 (OAEP), 8933, 6211, 5035, 3274 (read)
    time        RFC 3161, 5816
    paths       RFC 5280 and 9618 by pyhanko-certvalidator and rules of its own (`pki.path`), all of NIST's PKITS but
                for what tests/unit/pki/test_pkits.py lists; revocation by CRL (full, delta, indirect) and OCSP (RFC
                6960), judged from the bank's own table
    look-ups    RFC 4511, 4513, 4515 and 4523 (LDAP, simple bind), 8162 and 6698 (SMIMEA; whole
                certificates only), 3986 (URL templates)
    keys        RFC 5958 and 7292 (files), PKCS#11 2.40 (tokens), RFC 2986 (requests)
    audit log   RFC 9162 2.1 (tree of records, roots only), 8032 (Ed25519); C2SP tlog-checkpoint and signed-note
    HTTP        RFC 9110, 9457 (problems), 6750 (bearer tokens), 6901 (places in a body), 3161 3.4 (time-stamps);
                9745 and 8594 (deprecated paths), 6585 (428); OpenAPI 3.1; Standard Webhooks v1
    codes       RFC 2104 (HMAC), ISO 4217 (currencies, minor units), EU 2018/389 (`sealgate compliance rts`)
    documents   ISO 14289-1 (PDF/UA-1) and 19005-2 (PDF/A-2b) written, and looked for in what others wrote (no program
                can decide whether a tag is the right one); ISO 32000-2 (AES-256, revision 6); RFC 4180 (CSV)
    identity    CA/B Forum S/MIME policies, RFC 3739 and ETSI EN 319 412-5 (QcCompliance, QcSSCD), below marked roots
"""

__version__ = "0.1.0"
