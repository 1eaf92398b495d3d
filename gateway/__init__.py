"""Sealgate: a mail encryption gateway for banks, built from standards alone.

It stands between the bank's mail server and the world. Outbound mail is signed, time-stamped and encrypted as the
policies say, or it does not leave; inbound mail is opened, verified, judged and labelled.

The house, from the ground up. A room imports only rooms that stand above it here; `tests/architecture` holds that.

    errors      Reason, the one vocabulary of why, and GatewayError
    clock       time comes in from outside
    strictyaml  YAML that refuses what it would have to guess, with the place of everything
    model/      values that the rooms hand to each other; `sentences`: the texts of every Reason
    der/        octets <-> DER: walker, builder, scan of hostile input, BER to DER
    mime/       octets <-> structure, by spans and splices; the S/MIME shapes
    ports/      what the core asks of the outside, one small protocol per file
    cms/        CMS in, CMS out: no mail, no files, no network, no clock
    pki/        who may be believed: paths, selection, judgement, and the only mint of VerifiedSigner
    smime/      seal (draft -> sealed mail), open (mail -> opened and judged), protect (header fields), already
                (whether a mail is signed or encrypted before it comes here)
    authority/  what the bank issues itself: certificates (ca) and time-stamps (tsa)
    settings    sealgate.yaml as frozen values
    policy/     rules -> decision: pure, no file is opened
    actions/    one file per verb of the policy language, and the table of them
    inspection/ what `sealgate inspect` tells of any file, from the gateway's own open_mail and judge
    letters/    the bank's own mails: templates in, whole messages out
    pdf/        documents: made of a run's data, looked at, drawn of a mail, locked
    pipeline/   a mail's way: facts, plan, outbound, inbound, run (journal, next hop, answer)
    services/   what the bank does by mail, a room each: codes/, statements/; `bounces`, `answers`, `verp`: what
                comes back
    adapters/   one file per outside thing; db/: tables, migrations, and a port's adapter per file
    frontends/  SMTP and LMTP: listeners, commands, who the client is, DATA, limits; `replies`: Reason -> what the wire
                says; milter/; http/ (time-stamps, certificates), api/ (codes and runs for the bank's own systems);
                `jobs`: what is fetched and done in the background; `supervisor`: the process
                that starts and watches all others; `told`: the line of each mail, `metrics/`: what is counted
    app/        the composition root, the only room that names adapters, a file for each process and for what commands
                need; serve: one relay worker until a signal ends it
    demo/       a bank in a directory, and the tour through it
    cli/        one file per command group; postfix/: what `check --postfix` asks of a Postfix, a file per question

A mail out: frontends.smtp -> app.Gateway.handle -> pipeline.outbound -> actions -> smime.seal -> cms -> next hop.
            Of a milter: frontends.milter -> app.Gateway.handle_in_place; its next hop is pipeline.in_place.
A mail in:  frontends.smtp -> app.Gateway.handle -> pipeline.inbound -> smime.open -> pki.judge -> compose -> next hop.
            What is for a program of the bank: pipeline.hand_in -> services.
A code:     frontends.api -> services.codes -> letters -> pipeline.outbound, by pipeline.sealed_only.
A run:      services.statements: spec, source -> preflight -> drive (one leads) -> work (each process): letters, pdf ->
            pipeline.outbound; app.statements and app.statements_crew put it together.

Standards, with what is partial:

    mail        RFC 5321, 2033 (LMTP), 5322, 6152 (8BITMIME), 6531 (SMTPUTF8), 2920 (PIPELINING), 2034, 1870 (SIZE),
                3461 (DSN, passed on), 3464 (reports, written and read), 3834 (machines' answers), 8601 and 7281
                (Authentication-Results), 2045-2049, 2231, 6522; 5233 (return paths), 2919 and 8098 (lists and
                receipts, which are no answers)
    S/MIME      RFC 8551, 8550; 9788 (header protection), 9787 (what readers are shown)
    CMS         RFC 5652 (no digested, authenticated or key-encryption-key content), 5083 and 5084 (GCM; no CCM), 5753,
                8418 (X25519; no X448), 8419 (Ed25519; no Ed448), 4056 (PSS), 3560 (OAEP), 8933, 6211, 5035, 3274 (read)
    time        RFC 3161, 5816
    paths       RFC 5280 and 9618 by pyhanko-certvalidator and rules of our own (`pki.path`), all of NIST's PKITS but
                for what tests/unit/pki/test_pkits.py lists; revocation by CRL (full, delta, indirect) and OCSP (RFC
                6960), judged from the bank's own table
    look-ups    RFC 4511, 4513, 4515 and 4523 (LDAP, simple bind), 8162 and 6698 (SMIMEA; whole
                certificates only), 3986 (URL templates)
    keys        RFC 5958 and 7292 (files), PKCS#11 2.40 (tokens), RFC 2986 (requests)
    HTTP        RFC 9110, 9457 (problems), 6750 (bearer tokens), 6901 (places in a body), 3161 3.4 (time-stamps);
                OpenAPI 3.1
    codes       RFC 2104 (HMAC), ISO 4217 (currencies, minor units), EU 2018/389 (`sealgate compliance rts`)
    documents   ISO 14289-1 (PDF/UA-1) and 19005-2 (PDF/A-2b) written, and looked for in what others wrote (no program
                can tell whether a tag is the right one); ISO 32000-2 (AES-256, revision 6); RFC 4180 (CSV)
    identity    CA/B Forum S/MIME policies, RFC 3739 and ETSI EN 319 412-5 (QcCompliance, QcSSCD), below marked roots
"""

__version__ = "0.1.0"
