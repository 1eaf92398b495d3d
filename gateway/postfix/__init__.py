"""The checks of `sealgate check --postfix`: paths by which mail could leave Postfix unsealed, opened, or twice.

`check` runs all checks. `configuration` is postconf's output as a value; `reading` runs postconf; `form` states how
each door leads to the gateway. Each other file has the checks of one subject, which use only those values: `doors`
(mail enters without the gateway), `returns` (where mail comes back), `copies` (virtual aliases and automatic Bcc),
`delivery` (what aliases, programs and servers do with opened mail), `milters` (other milters), `around` (actions and
fall-backs that lead past the gateway), `passage` (how mail is handed over), `services` (mailboxes that are programs),
`whole` (what belongs to no door).
"""
