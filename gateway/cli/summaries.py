"""The summary of each command, so that `sealgate --help` need not load the commands: a second of CPU."""

from collections.abc import Mapping
from types import MappingProxyType

SUMMARIES: Mapping[str, str] = MappingProxyType({
    "run": "Serve the listeners of the settings until SIGTERM; mails in progress are finished first.",
    "reload": "Let `sealgate run` reload its settings, and wait until all its processes use them.",
    "demo": "Run a demo bank and a guided tour: outbound mail verified by openssl, inbound mail created by it.",
    "init":
        "Write settings, policies, keys, a time-stamping authority, the first client and the database of a new bank.",
    "check":
        "Check settings, policies, keys, certificates, algorithms, trust, revocation, tokens, stampers, "
        "directories, next hops and the database. Exit 1 if mail would be deferred or rejected.",
    "seal": "Sign and encrypt the mail on standard input as the rules decide; write the result to standard output.",
    "open": "Decrypt and verify the mail on standard input; write the mail for the mail server to standard output.",
    "inspect": "Show what FILE contains, and whether it can be trusted. Exit 0 only if it can.",
    "status":
        "Show the state of the gateway: services, mail of the last hour and day, held mail, what expires, disk.",
    "mails": "List mails, the latest last: a line for each recipient. `sealgate trace ID` shows one mail in full.",
    "trace":
        "Show what happened to a mail: rule, steps, certificates, the next hop's reply, reasons with the "
        "remedy.",
    "audit": "The audit log: who did what, when, from where, with what result.",
    "legal-hold": "Legal holds: records that must not be deleted at any age.",
    "backup":
        "Write database, settings, policies and trust anchors to one file, without private keys. Mail is not "
        "stopped.",
    "restore": "Fill the empty database of the settings from a backup. The backup is checked before the first write.",
    "jobs": "Fetch CRLs, OCSP responses and issuers, verify held mail again, write the daily report, until SIGTERM.",
    "milter":
        "Serve the milter (`milter` of the settings) to Postfix until SIGTERM; mails in progress are "
        "finished first.",
    "api": "Serve the HTTP API for codes and statement runs (`api` of the settings) until SIGTERM.",
    "database": "The database of the settings: identity and version.",
    "policy": "Check, test, explain and replay the rules.",
    "cert": "Certificates of customers and issuers: import, look up, trust, export.",
    "key": "Keys of the bank, in files and on tokens.",
    "client": "Logins of clients, in the argon2 file that `passwords` of the settings names.",
    "customer": "Customers: number, name, addresses, segment.",
    "statements": "Statements and bills in runs: check, send, watch, report.",
    "documents": "Statements and bills as PDF: templates and finished documents.",
    "hold": "Held and quarantined mail: list, show, release, reject.",
    "fallbacks": "Mail to recipients without a certificate: statistics, and held mail.",
    "otp": "One-time codes: send, verify, resend, cancel, show, list, block, unblock.",
    "revocation": "CRLs and OCSP responses: list them, and fetch them now.",
    "compliance": "What rules of law ask, and what serves it.",
    "http": "Serve time-stamps and certificates for partners over HTTP (`http` of the settings) until SIGTERM.",
})
